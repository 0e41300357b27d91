//! What clients read, whatever happens and whenever they connect and read.

use std::collections::BTreeSet;

use packet_headers_common::{Endpoint, Role};
use proptest::prelude::*;

use super::*;
use model::{BootNanos, UuidPrefix};

const ROOMY: Bounds = Bounds {
    open: 1000,
    log: 1000,
};

fn uuid(cookie: u64) -> FlowUuid {
    UuidPrefix::new("host_1").unwrap().uuid(cookie)
}

fn opened(cookie: u64, older: bool) -> Open {
    Open {
        at: BootNanos(cookie),
        opened: WallNanos(cookie),
        uuid: uuid(cookie),
        local: Endpoint::v4([10, 0, 0, 1], 443),
        remote: Endpoint::v4([10, 0, 0, 2], 50_000),
        role: (!older).then_some(Role::Accepting),
        cookie,
        owner: None,
    }
}

/// A line: a cookie, and whether it is an Open.
type Told = (u64, bool);

fn understood(text: &[u8]) -> Vec<Told> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let told = lines.map(|line| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        let name = value["UUID"].as_str().unwrap();
        let cookie = u64::from_str_radix(name.rsplit('_').next().unwrap(), 16).unwrap();
        (cookie, value["Event"] == 0)
    });
    told.collect()
}

fn read_all(stream: &Stream, reader: &mut Reader) -> Result<Vec<Told>, TooSlow> {
    let mut text = Vec::new();
    reader.read(stream, &mut text, usize::MAX)?;
    Ok(understood(&text))
}

#[test]
fn a_client_reads_what_is_open_and_then_what_happens() {
    let mut stream = Stream::new(ROOMY, false);
    let mut early = stream.join();
    stream.open(&opened(1, false)).unwrap();
    stream.open(&opened(2, false)).unwrap();
    stream.close(&uuid(1), WallNanos(3)).unwrap();
    let mut late = stream.join();
    // Closed before the late one reads what was open when it connected.
    stream.close(&uuid(2), WallNanos(4)).unwrap();
    stream.open(&opened(5, false)).unwrap();
    let all = [(1, true), (2, true), (1, false), (2, false), (5, true)];
    assert_eq!(read_all(&stream, &mut early), Ok(all.to_vec()));
    let since = [(2, true), (2, false), (5, true)];
    assert_eq!(read_all(&stream, &mut late), Ok(since.to_vec()));
    assert_eq!(read_all(&stream, &mut late), Ok(vec![]));
}

#[test]
fn an_older_connection_is_not_told_after_its_close() {
    let mut stream = Stream::new(ROOMY, true);
    let mut client = stream.join();
    // The list of older ones was made, and comes later than this.
    stream.open(&opened(1, false)).unwrap();
    stream.close(&uuid(1), WallNanos(2)).unwrap();
    stream.close(&uuid(2), WallNanos(2)).unwrap();
    for cookie in [1, 2, 3] {
        stream.open(&opened(cookie, true)).unwrap();
    }
    stream.older_are_delivered();
    stream.close(&uuid(3), WallNanos(4)).unwrap();
    let told = [(1, true), (1, false), (3, true), (3, false)];
    assert_eq!(read_all(&stream, &mut client), Ok(told.to_vec()));
    assert!(stream.closed.is_none(), "nothing is remembered any more");
}

#[test]
fn what_two_sources_know_is_told_once() {
    let mut stream = Stream::new(ROOMY, true);
    let mut client = stream.join();
    stream.open(&opened(1, false)).unwrap();
    stream.open(&opened(1, true)).unwrap();
    stream.close(&uuid(1), WallNanos(2)).unwrap();
    stream.close(&uuid(1), WallNanos(3)).unwrap();
    let told = [(1, true), (1, false)];
    assert_eq!(read_all(&stream, &mut client), Ok(told.to_vec()));
}

#[test]
fn what_is_beyond_the_bound_is_refused_and_its_close_is_not_told() {
    let bounds = Bounds { open: 2, ..ROOMY };
    let mut stream = Stream::new(bounds, false);
    let mut client = stream.join();
    stream.open(&opened(1, false)).unwrap();
    stream.open(&opened(2, false)).unwrap();
    let error = stream.open(&opened(3, false)).unwrap_err().to_string();
    assert_eq!(error, "more than 2 connections are open");
    stream.close(&uuid(3), WallNanos(4)).unwrap();
    stream.close(&uuid(2), WallNanos(4)).unwrap();
    stream.open(&opened(4, false)).unwrap();
    let told = [(1, true), (2, true), (2, false), (4, true)];
    assert_eq!(read_all(&stream, &mut client), Ok(told.to_vec()));
}

#[test]
fn a_replay_of_many_makes_nobody_slow_and_is_read_in_parts() {
    let many = 200_000;
    let bounds = Bounds {
        open: 1 << 18,
        log: 10,
    };
    let mut stream = Stream::new(bounds, false);
    for cookie in 0..many {
        stream.open(&opened(cookie, false)).unwrap();
    }
    let mut client = stream.join();
    let mut part = Vec::new();
    let mut told = 0;
    loop {
        part.clear();
        client.read(&stream, &mut part, 64 << 10).unwrap();
        assert!(part.len() < 65 << 10, "{}", part.len());
        if part.is_empty() {
            break;
        }
        told += part.split(|&byte| byte == b'\n').count() as u64 - 1;
    }
    assert_eq!(told, many);
}

#[derive(Debug, Clone)]
enum Step {
    Open { cookie: u64, older: bool },
    Close(u64),
    OlderDelivered,
    Join,
    Read { client: usize, enough: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let cookie = 0..12u64;
    prop_oneof![
        4 => (cookie.clone(), any::<bool>()).prop_map(|(cookie, older)| Step::Open { cookie, older }),
        4 => cookie.prop_map(Step::Close),
        1 => Just(Step::OlderDelivered),
        1 => Just(Step::Join),
        4 => (0..8usize, 0..1500usize).prop_map(|(client, enough)| Step::Read { client, enough }),
    ]
}

/// A client, and what the definition says that it reads.
struct Client {
    reader: Reader,
    replay: BTreeSet<u64>,
    events: Vec<Told>,
    text: Vec<u8>,
    slow: bool,
}

impl Client {
    /// Whether what was read so far is a beginning of what is to be read; all of it, at the `end`.
    fn is_consistent(&self, end: bool) -> bool {
        let told = understood(&self.text);
        let (replay, events) = told.split_at(told.len().min(self.replay.len()));
        let once: BTreeSet<_> = replay.iter().map(|&(cookie, _)| cookie).collect();
        replay.iter().all(|&(_, open)| open)
            && once.len() == replay.len()
            && once.is_subset(&self.replay)
            && self.events.starts_with(events)
            && (!end || told.len() == self.replay.len() + self.events.len())
    }
}

/// What happened, by the plainest rules.
#[derive(Default)]
struct Model {
    open: BTreeSet<u64>,
    closed: BTreeSet<u64>,
    older_told: bool,
}

impl Model {
    fn step(&mut self, step: &Step) -> Option<Told> {
        match *step {
            Step::Open { cookie, .. } => {
                // A cookie is never given twice; what comes again comes from the other source.
                let new = !self.closed.contains(&cookie) && self.open.insert(cookie);
                new.then_some((cookie, true))
            }
            Step::Close(cookie) => {
                self.closed.insert(cookie);
                self.open.remove(&cookie).then_some((cookie, false))
            }
            Step::OlderDelivered => {
                self.older_told = true;
                None
            }
            Step::Join | Step::Read { .. } => None,
        }
    }

    /// Whether the sources can tell this: an older connection only while those are told, and
    /// nothing of a connection after both its sources are done with it.
    fn can_be(&self, step: &Step) -> bool {
        match *step {
            Step::Open { cookie, older } => {
                !(self.older_told && (older || self.closed.contains(&cookie)))
            }
            Step::Close(_) | Step::OlderDelivered | Step::Join | Step::Read { .. } => true,
        }
    }
}

proptest! {
    #[test]
    fn every_client_reads_one_consistent_sequence(
        steps in prop::collection::vec(step(), 0..200),
        log in 1..40usize,
    ) {
        let mut stream = Stream::new(Bounds { open: 100, log }, true);
        let mut model = Model::default();
        let mut clients: Vec<Client> = Vec::new();
        for step in &steps {
            if !model.can_be(step) {
                continue;
            }
            match *step {
                Step::Open { cookie, older } => stream.open(&opened(cookie, older)).unwrap(),
                Step::Close(cookie) => stream.close(&uuid(cookie), WallNanos(cookie)).unwrap(),
                Step::OlderDelivered => stream.older_are_delivered(),
                Step::Join => clients.push(Client {
                    reader: stream.join(),
                    replay: model.open.clone(),
                    events: Vec::new(),
                    text: Vec::new(),
                    slow: false,
                }),
                Step::Read { client, enough } => {
                    if let Some(client) = clients.get_mut(client).filter(|it| !it.slow) {
                        let mut text = Vec::new();
                        let read = client.reader.read(&stream, &mut text, enough);
                        client.slow = read.is_err();
                        client.text.extend(text);
                        prop_assert!(client.is_consistent(false));
                    }
                }
            }
            if let Some(told) = model.step(step) {
                for client in &mut clients {
                    client.events.push(told);
                }
            }
        }
        for mut client in clients {
            let read = understood(&client.text).len().saturating_sub(client.replay.len());
            let is_behind = client.events.len() - read > log;
            let mut text = Vec::new();
            let read = client.reader.read(&stream, &mut text, usize::MAX);
            client.text.extend(text);
            prop_assert_eq!(read.is_err(), is_behind);
            prop_assert!(is_behind || !client.slow);
            prop_assert!(client.is_consistent(!is_behind));
        }
    }
}
