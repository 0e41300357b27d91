//! One connection or UDP flow: which of a capture's is meant, and its packets.

use capture_reader::{Buffer, Packet};
use flow_stats::{Datagram, IcmpError, Row, Segment};

use crate::filter::Filter;
use crate::flow::Added;
use crate::identity::uuid_of_name;
use crate::ordered::Stopped;
use crate::paths::Source;
use crate::scan::{Complete, Of, Problem, Progress, Visitor, scan};

/// How many connections are told of when several are meant.
const TOLD: usize = 5;

/// Where a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    source: Source,
    member: u32,
    number: u64,
}

/// The connections that may be meant.
#[derive(Debug, Default)]
pub struct Meant {
    /// How many there are.
    pub count: u64,
    /// How many connections there are in all.
    pub all: u64,
    /// The first of them, and where they are.
    pub first: Vec<(Row, Place)>,
}

/// Those sources that a connection with this UUID has its name from.
pub fn named<'a>(
    sources: &'a [Source],
    uuid: &'a str,
) -> impl Iterator<Item = &'a Source> + use<'a> {
    let is_it = move |source: &&Source| uuid_of_name(&source.path) == Some(uuid);
    sources.iter().filter(is_it)
}

/// Finds the connections that a filter takes. What is wrong with a source is given to `problem`.
pub fn find(sources: &[Source], filter: &Filter, problem: &mut dyn FnMut(Problem)) -> Meant {
    let mut meant = Meant::default();
    let mut buffer = Buffer::default();
    for source in sources {
        let mut finding = Finding {
            source,
            filter,
            meant: &mut meant,
            problem: &mut *problem,
        };
        // It never wants to stop.
        let (Ok(()) | Err(Stopped)) = scan(source, &mut buffer, &Progress::default(), &mut finding);
    }
    meant
}

/// What a capture has of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A packet of it.
    Packet(&'a Segment),
    /// A UDP packet of it.
    Datagram(&'a Datagram<'a>),
    /// An ICMP error that quotes one.
    Error(&'a IcmpError),
}

/// Gives `take` the packets of a connection that was found, in order, as far as they can be read, and the ICMP
/// errors about it.
pub fn packets_of(place: &Place, take: &mut dyn FnMut(Item<'_>)) {
    let mut taking = Taking { place, take };
    let source = &place.source;
    // It never wants to stop.
    let (Ok(()) | Err(Stopped)) = scan(
        source,
        &mut Buffer::default(),
        &Progress::default(),
        &mut taking,
    );
}

struct Finding<'a> {
    source: &'a Source,
    filter: &'a Filter,
    meant: &'a mut Meant,
    problem: &'a mut dyn FnMut(Problem),
}

impl Visitor for Finding<'_> {
    fn packet(&mut self, _: &Of, _: &Packet<'_>, _: &Segment, _: Added) -> Result<(), Stopped> {
        Ok(())
    }

    fn connection(&mut self, complete: Complete<'_>) -> Result<(), Stopped> {
        let row = complete.row();
        self.meant.all += 1;
        if !self.filter.takes(&row) {
            return Ok(());
        }
        self.meant.count += 1;
        if self.meant.first.len() < TOLD {
            let place = Place {
                source: self.source.clone(),
                member: complete.of.member,
                number: complete.number(),
            };
            self.meant.first.push((row, place));
        }
        Ok(())
    }

    fn problem(&mut self, problem: Problem) -> Result<(), Stopped> {
        (self.problem)(problem);
        Ok(())
    }
}

struct Taking<'a> {
    place: &'a Place,
    take: &'a mut dyn FnMut(Item<'_>),
}

impl Visitor for Taking<'_> {
    fn packet(
        &mut self,
        of: &Of,
        _: &Packet<'_>,
        segment: &Segment,
        added: Added,
    ) -> Result<(), Stopped> {
        if (of.member, added.number) == (self.place.member, self.place.number) {
            (self.take)(Item::Packet(segment));
        }
        Ok(())
    }

    fn datagram(
        &mut self,
        of: &Of,
        _: &Packet<'_>,
        datagram: &Datagram<'_>,
        added: Added,
    ) -> Result<(), Stopped> {
        if (of.member, added.number) == (self.place.member, self.place.number) {
            (self.take)(Item::Datagram(datagram));
        }
        Ok(())
    }

    fn error(
        &mut self,
        of: &Of,
        _: &Packet<'_>,
        error: &IcmpError,
        number: u64,
    ) -> Result<(), Stopped> {
        if (of.member, number) == (self.place.member, self.place.number) {
            (self.take)(Item::Error(error));
        }
        Ok(())
    }

    fn connection(&mut self, _: Complete<'_>) -> Result<(), Stopped> {
        Ok(())
    }

    /// It was told when the connection was found.
    fn problem(&mut self, _: Problem) -> Result<(), Stopped> {
        Ok(())
    }
}
