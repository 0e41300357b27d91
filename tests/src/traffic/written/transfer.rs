//! A download, as the server's host sees it: slow start, congestion avoidance, selective acknowledgments,
//! fast retransmission and timeout; a path with a rate and a delay that loses what it is told to; a receiver
//! with a buffer and an application that reads from it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::capture::{ACK, FIN, PSH, SYN, SegmentWritten};

/// Bytes of payload in a segment.
const MSS: u32 = 1448;

/// By how many bits windows are scaled.
const SCALE: u8 = 7;

/// What the client asks for.
const REQUEST: u16 = 120;

/// How long the server thinks, and how long a delayed acknowledgment waits: nanoseconds.
const THINKING: u64 = 4_000_000;
const DELAYED: u64 = 40_000_000;

/// How often the application reads.
const READING: u64 = 5_000_000;

/// How long nothing is acknowledged until the sender gives up waiting.
const TIMEOUT: u64 = 300_000_000;

/// The first congestion window, in segments (RFC 6928).
const INITIAL: f64 = 10.0;

/// A time in which the application does not read: nanoseconds from the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    /// When it begins.
    pub from: u64,
    /// When it ends.
    pub to: u64,
}

/// A download, and the path and the receiver that it meets.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// How many full segments the server sends.
    pub segments: usize,
    /// Bytes per second that the path carries.
    pub rate: u64,
    /// How long a packet takes on an empty path, in nanoseconds.
    pub delay: u64,
    /// Segments that are lost, by their number from 0, and how often each is.
    pub lost: Vec<(usize, u32)>,
    /// How many segments are in flight when slow start ends, unless it ended by a loss.
    pub threshold: u32,
    /// The receiver's buffer, in bytes.
    pub buffer: u32,
    /// Bytes per second that its application reads.
    pub reads: u64,
    /// When it does not.
    pub pauses: Vec<Pause>,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A segment reaches the receiver, with its timestamp.
    Arrives(usize, u32),
    /// An acknowledgment, by its number, reaches the sender.
    Acknowledges(usize),
    /// A delayed acknowledgment is due, unless one was sent since that many were.
    Due(usize),
    /// The application reads.
    Reads,
    /// The sender looks whether it has waited for too long.
    Timer,
}

/// What the receiver said.
#[derive(Debug, Clone)]
struct Answer {
    /// How many segments it has without a gap.
    next: usize,
    window: u32,
    blocks: Vec<(usize, usize)>,
    stamp: (u32, u32),
}

/// What the sender knows of a segment.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    sacked: bool,
    lost: bool,
    again: bool,
    times: u32,
}

struct Simulation<'a> {
    of: &'a Transfer,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    written: Vec<SegmentWritten>,
    identification: u16,
    // The sender.
    segments: Vec<Sent>,
    unacknowledged: usize,
    next: usize,
    congestion: f64,
    threshold: f64,
    recovery: Option<usize>,
    edge: u64,
    progress: u64,
    echo: u32,
    // The path.
    free: u64,
    // The receiver.
    arrived: Vec<bool>,
    in_order: usize,
    unread: u64,
    recent: VecDeque<usize>,
    pending: usize,
    answers: Vec<Answer>,
    announced: u32,
    stamp: u32,
}

impl Transfer {
    /// The segments that the server's host captures, in the order of time.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentWritten> {
        let mut simulation = Simulation::begin(self);
        simulation.run();
        simulation.finish()
    }
}

/// What a clock in milliseconds says.
fn clock(time: u64) -> u32 {
    u32::try_from(time / 1_000_000).unwrap_or(u32::MAX) + 5_000
}

/// The sequence number of a segment. The request's answer begins behind the SYN.
fn number(segment: usize) -> u32 {
    1 + u32::try_from(segment).unwrap_or(u32::MAX) * MSS
}

impl<'a> Simulation<'a> {
    fn begin(of: &'a Transfer) -> Self {
        let mut simulation = Self {
            of,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            written: Vec::new(),
            identification: 1,
            segments: vec![Sent::default(); of.segments],
            unacknowledged: 0,
            next: 0,
            congestion: INITIAL,
            threshold: of.threshold.into(),
            recovery: None,
            edge: u64::from(of.buffer),
            progress: 0,
            echo: 0,
            free: 0,
            arrived: vec![false; of.segments],
            in_order: 0,
            unread: 0,
            recent: VecDeque::new(),
            pending: 0,
            answers: Vec::new(),
            announced: of.buffer,
            stamp: 0,
        };
        simulation.shake_hands();
        simulation
    }

    /// The handshake and the request, as the server's host sees them.
    fn shake_hands(&mut self) {
        let options = |stamp: (u32, u32)| {
            let mut segment = SegmentWritten::default();
            segment.options.extend([2, 4, 0x05, 0xb4, 4, 2]);
            segment.options.extend([8, 10]);
            segment.options.extend(stamp.0.to_be_bytes());
            segment.options.extend(stamp.1.to_be_bytes());
            segment.options.extend([1, 3, 3, SCALE]);
            segment
        };
        let round_trip = 2 * self.of.delay;
        self.written.push(SegmentWritten {
            flags: SYN,
            window: 65_535,
            ..options((clock(0), 0))
        });
        self.written.push(SegmentWritten {
            time: 30_000,
            from_server: true,
            acknowledgment: 1,
            flags: SYN | ACK,
            window: 65_535,
            ..options((clock(0), clock(0)))
        });
        self.stamp = clock(0);
        for (time, payload) in [(30_000, 0), (45_000, REQUEST)] {
            let mut segment = SegmentWritten {
                time: time + round_trip,
                sequence: 1,
                acknowledgment: 1,
                flags: if payload > 0 { ACK | PSH } else { ACK },
                window: scaled(self.of.buffer),
                payload,
                ..SegmentWritten::default()
            };
            segment.stamp(clock(round_trip), clock(0));
            self.written.push(segment);
        }
        self.echo = clock(round_trip);
        self.now = round_trip + 60_000;
        let mut acknowledgment = self.of_server(0, 0);
        acknowledgment.stamp(clock(self.now), self.echo);
        self.written.push(acknowledgment);
        self.now += THINKING;
        self.progress = self.now;
    }

    fn of_server(&self, segment: usize, payload: u16) -> SegmentWritten {
        SegmentWritten {
            time: self.now,
            from_server: true,
            sequence: number(segment),
            acknowledgment: 1 + u32::from(REQUEST),
            flags: ACK,
            window: 509,
            payload,
            ..SegmentWritten::default()
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((time, self.scheduled, event)));
    }

    fn run(&mut self) {
        self.at(self.now + READING, Event::Reads);
        self.at(self.now + TIMEOUT, Event::Timer);
        self.send_what_fits();
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            if self.unacknowledged == self.segments.len() {
                return;
            }
            self.now = time;
            match event {
                Event::Arrives(segment, stamp) => self.arrive(segment, stamp),
                Event::Acknowledges(answer) => self.hear(answer),
                Event::Due(answers) if answers == self.answers.len() => self.answer(),
                Event::Due(_) => {}
                Event::Reads => self.read(),
                Event::Timer => self.look_at_timer(),
            }
        }
    }

    /// Both ends close; returns all that was captured.
    fn finish(mut self) -> Vec<SegmentWritten> {
        self.now += 200_000;
        let mut fin = self.of_server(self.segments.len(), 0);
        fin.flags |= FIN;
        fin.stamp(clock(self.now), self.echo);
        self.written.push(fin);
        let end = number(self.segments.len()) + 1;
        let mut answer = SegmentWritten {
            time: self.now + 2 * self.of.delay,
            sequence: 1 + u32::from(REQUEST),
            acknowledgment: end,
            flags: ACK | FIN,
            window: scaled(self.window()),
            ..SegmentWritten::default()
        };
        answer.stamp(clock(answer.time), clock(self.now));
        let stamp = clock(answer.time);
        self.now = answer.time + 30_000;
        self.written.push(answer);
        let mut last = self.of_server(self.segments.len(), 0);
        (last.sequence, last.acknowledgment) = (end, last.acknowledgment + 1);
        last.stamp(clock(self.now), stamp);
        self.written.push(last);
        self.written.sort_by_key(|segment| segment.time);
        self.written
    }

    /// Sends a segment over the path.
    fn send(&mut self, segment: usize) {
        let mut written = self.of_server(segment, MSS as u16);
        self.identification = self.identification.wrapping_add(1);
        written.identification = self.identification;
        let stamp = clock(self.now);
        written.stamp(stamp, self.echo);
        self.written.push(written);
        let sent = &mut self.segments[segment];
        let lost = self.of.lost.iter().find(|(number, _)| *number == segment);
        let is_lost = lost.is_some_and(|(_, times)| sent.times < *times);
        sent.times += 1;
        // A host takes a moment for each packet.
        self.now += 4_000;
        self.free = self.free.max(self.now) + u64::from(MSS + 66) * 1_000_000_000 / self.of.rate;
        if !is_lost {
            self.at(self.free + self.of.delay, Event::Arrives(segment, stamp));
        }
    }

    fn send_what_fits(&mut self) {
        loop {
            let window = &self.segments[self.unacknowledged..self.next];
            let in_flight = |sent: &&Sent| !sent.sacked && (!sent.lost || sent.again);
            let pipe = window.iter().filter(in_flight).count();
            if pipe as f64 >= self.congestion.floor().max(1.0) {
                return;
            }
            let lost = window
                .iter()
                .position(|sent| sent.lost && !sent.sacked && !sent.again);
            if let Some(lost) = lost {
                let segment = self.unacknowledged + lost;
                self.segments[segment].again = true;
                self.send(segment);
            } else if self.next < self.segments.len()
                && u64::from(number(self.next + 1) - 1) <= self.edge
            {
                self.next += 1;
                self.send(self.next - 1);
            } else {
                return;
            }
        }
    }

    /// The sender hears an answer.
    fn hear(&mut self, answer: usize) {
        let Answer {
            next,
            window,
            blocks,
            stamp,
        } = self.answers[answer].clone();
        let mut segment = SegmentWritten {
            time: self.now,
            sequence: 1 + u32::from(REQUEST),
            acknowledgment: number(next),
            flags: ACK,
            window: scaled(window),
            ..SegmentWritten::default()
        };
        segment.stamp(stamp.0, stamp.1);
        let numbers = blocks
            .iter()
            .map(|(left, right)| (number(*left), number(*right)));
        segment.sack(&numbers.collect::<Vec<_>>());
        self.written.push(segment);
        self.echo = stamp.0;
        self.edge = self
            .edge
            .max(u64::from(number(next) - 1) + u64::from(window));
        for (left, right) in blocks {
            self.segments[left..right]
                .iter_mut()
                .for_each(|sent| sent.sacked = true);
        }
        if next > self.unacknowledged {
            self.advance(next);
        }
        self.find_losses();
        self.send_what_fits();
    }

    fn advance(&mut self, next: usize) {
        let acknowledged = (next - self.unacknowledged) as f64;
        self.unacknowledged = next;
        self.progress = self.now;
        match self.recovery {
            Some(end) if next < end => {}
            Some(_) => {
                self.recovery = None;
                self.congestion = self.threshold;
            }
            None if self.congestion < self.threshold => self.congestion += acknowledged,
            None => self.congestion += acknowledged / self.congestion,
        }
    }

    /// What three segments have overtaken is lost (RFC 6675).
    fn find_losses(&mut self) {
        let window = &mut self.segments[self.unacknowledged..self.next];
        let mut above = 0;
        let mut found = false;
        for sent in window.iter_mut().rev() {
            if sent.sacked {
                above += 1;
            } else if above >= 3 && !sent.lost {
                sent.lost = true;
                found = true;
            }
        }
        if found && self.recovery.is_none() {
            self.recovery = Some(self.next);
            self.threshold = (self.congestion * 0.7).max(2.0);
            self.congestion = self.threshold;
        }
    }

    fn look_at_timer(&mut self) {
        let due = self.progress + TIMEOUT;
        if self.now < due {
            return self.at(due, Event::Timer);
        }
        let waits = self.segments[self.unacknowledged..self.next].iter();
        if waits.clone().next().is_some() {
            for sent in &mut self.segments[self.unacknowledged..self.next] {
                (sent.lost, sent.again) = (!sent.sacked, false);
            }
            self.threshold = (self.congestion / 2.0).max(2.0);
            self.congestion = 1.0;
            self.recovery = None;
            self.send_what_fits();
        }
        self.progress = self.now;
        self.at(self.now + TIMEOUT, Event::Timer);
    }

    /// The receiver gets a segment.
    fn arrive(&mut self, segment: usize, stamp: u32) {
        let expected = segment == self.in_order;
        self.arrived[segment] = true;
        self.recent.retain(|recent| *recent != segment);
        self.recent.push_front(segment);
        self.recent.truncate(64);
        let before = self.in_order;
        while self.arrived.get(self.in_order) == Some(&true) {
            self.in_order += 1;
        }
        self.unread += (self.in_order - before) as u64 * u64::from(MSS);
        if expected && self.pending == 0 {
            self.stamp = stamp;
        }
        self.pending += 1;
        let gaps = self.arrived[self.in_order..].iter().any(|arrived| *arrived);
        if !expected || gaps || self.in_order - before > 1 || self.pending >= 2 {
            self.answer();
        } else {
            self.at(self.now + DELAYED, Event::Due(self.answers.len()));
        }
    }

    /// The receiver says what it has.
    fn answer(&mut self) {
        self.pending = 0;
        self.announced = self.window();
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for &segment in &self.recent {
            let known = blocks
                .iter()
                .any(|(left, right)| (*left..*right).contains(&segment));
            if segment >= self.in_order && !known && blocks.len() < 3 {
                let left = (self.in_order..=segment)
                    .rev()
                    .take_while(|at| self.arrived[*at]);
                let right = (segment..self.arrived.len()).take_while(|at| self.arrived[*at]);
                let (left, right) = (left.last(), right.last());
                blocks.extend(left.zip(right).map(|(left, right)| (left, right + 1)));
            }
        }
        self.answers.push(Answer {
            next: self.in_order,
            window: self.announced,
            blocks,
            stamp: (clock(self.now), self.stamp),
        });
        self.at(
            self.now + self.of.delay,
            Event::Acknowledges(self.answers.len() - 1),
        );
    }

    fn window(&self) -> u32 {
        let free = u64::from(self.of.buffer).saturating_sub(self.unread);
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        // Not a little at a time (RFC 9293 3.8.6.2.2).
        if free < MSS {
            0
        } else {
            free >> SCALE << SCALE
        }
    }

    fn read(&mut self) {
        let pauses = &self.of.pauses;
        if !pauses
            .iter()
            .any(|pause| (pause.from..pause.to).contains(&self.now))
        {
            let bytes = self.of.reads * READING / 1_000_000_000;
            self.unread = self.unread.saturating_sub(bytes);
        }
        let (window, half) = (self.window(), self.of.buffer / 2);
        if window >= self.announced + half.min(2 * MSS) && self.announced < half.min(4 * MSS) {
            self.answer();
        }
        self.at(self.now + READING, Event::Reads);
    }
}

fn scaled(window: u32) -> u16 {
    u16::try_from(window >> SCALE).unwrap_or(u16::MAX)
}
