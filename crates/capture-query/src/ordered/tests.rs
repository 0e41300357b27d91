use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

struct Collect {
    got: Vec<u64>,
    most: usize,
}

impl Consumer<u64> for Collect {
    type Stop = ();

    fn take(&mut self, result: u64) -> Result<(), ()> {
        if self.got.len() == self.most {
            return Err(());
        }
        self.got.push(result);
        Ok(())
    }

    fn tick(&mut self) {}
}

/// Jobs that give as many results as their number says, by four threads.
fn run(jobs: &[u64], most: usize) -> (Result<Vec<u64>, ()>, Vec<u64>) {
    let mut consumer = Collect {
        got: Vec::new(),
        most,
    };
    let tools = vec![0; 4];
    let done = work(jobs, tools, &mut consumer, |&job, tool, results| {
        *tool += 1;
        (0..job).try_for_each(|number| results.put(job * 1_000_000 + number))
    });
    (done, consumer.got)
}

#[test]
fn results_come_in_the_order_of_the_jobs() {
    // The second job holds more results than it may before its turn.
    let jobs: Vec<u64> = [50_000, 60_000, 3, 0, 1]
        .into_iter()
        .chain(0..1_000)
        .collect();
    let (done, got) = run(&jobs, usize::MAX);
    let want = jobs
        .iter()
        .flat_map(|job| (0..*job).map(move |number| job * 1_000_000 + number));
    assert!(want.eq(got));
    assert_eq!(done.unwrap().iter().sum::<u64>(), jobs.len() as u64);
}

#[test]
fn a_consumer_that_has_enough_stops_the_work() {
    let (done, got) = run(&[100_000; 50], 1_000);
    assert!(done.is_err());
    assert_eq!(got.len(), 1_000);
}

#[test]
#[should_panic(expected = "job 3")]
fn a_panic_is_passed_on_and_nobody_waits_for_ever() {
    let mut consumer = Collect {
        got: Vec::new(),
        most: usize::MAX,
    };
    let jobs: Vec<u64> = (0..10_000).collect();
    let _never = work(&jobs, vec![(); 4], &mut consumer, |&job, (), results| {
        assert!(job != 3, "job 3");
        results.put(job)
    });
}

#[test]
fn what_a_job_gives_before_it_stops_arrives() {
    let mut consumer = Collect {
        got: Vec::new(),
        most: usize::MAX,
    };
    let done = work(&[0, 1], vec![()], &mut consumer, |&job, (), results| {
        results.put(job)?;
        Err(Stopped)
    });
    done.unwrap();
    assert_eq!(consumer.got, [0]);
}

#[test]
fn few_results_wait_for_a_slow_first_job() {
    struct Slow;
    impl Consumer<u64> for Slow {
        type Stop = ();
        fn take(&mut self, _: u64) -> Result<(), ()> {
            Ok(())
        }
        fn tick(&mut self) {}
    }
    let given = AtomicUsize::new(0);
    let jobs: Vec<u64> = (0..20).collect();
    let done = work(&jobs, vec![(); 3], &mut Slow, |&job, (), results| {
        if job == 0 {
            // Until the others have begun, and stopped: nobody gives anything for a while.
            let mut before = 0;
            while before == 0 || given.load(Ordering::SeqCst) != before {
                before = given.load(Ordering::SeqCst);
                thread::sleep(Duration::from_millis(100));
            }
            assert!(before <= PARKED + 3 * HELD, "{before} results wait");
        }
        (0..100_000).try_for_each(|number| {
            if job > 0 {
                given.fetch_add(1, Ordering::SeqCst);
            }
            results.put(number)
        })
    });
    assert_eq!(done.unwrap().len(), 3);
    assert_eq!(given.load(Ordering::SeqCst), 19 * 100_000);
}
