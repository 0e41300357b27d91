//! What a list of the open connections says about those whose Open or Close nobody told. Pure.

use std::collections::HashSet;

use messages::sock_diag::ExistingSocket;
use model::Filters;

/// The most connections that are remembered: some 16 MiB. Further ones may be told of twice, which
/// the table notices, and end by their packets.
const MOST: usize = 1 << 20;

/// The connections that a source has told of, for comparison with a list of the open ones.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// The cookies of open connections that need no Open any more.
    told: HashSet<u64>,
    /// The cookies of connections that are older than the daemon, until they are told of.
    older: HashSet<u64>,
    /// What was told while a list is being made, which may be older than that.
    meanwhile: Option<HashSet<u64>>,
}

/// What was missed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// Connections that are open, and need an Open.
    pub(super) opened: Vec<ExistingSocket>,
    /// How many of these are older than the daemon.
    pub(super) older: usize,
    /// The cookies of those that have closed.
    pub(super) closed: Vec<u64>,
}

impl CatchUp {
    /// These connections are older than the daemon, and have not been told of.
    pub(super) fn are_older(&mut self, sockets: &[ExistingSocket]) {
        self.older = cookies(sockets);
    }

    /// These connections need no Open.
    pub(super) fn are_told(&mut self, sockets: &[ExistingSocket]) {
        self.told = cookies(sockets);
    }

    /// The Open of a connection has been told.
    pub(super) fn opened(&mut self, cookie: u64) {
        if self.told.len() < MOST {
            self.told.insert(cookie);
        }
        self.note(cookie);
    }

    /// The Close of a connection has been told.
    pub(super) fn closed(&mut self, cookie: u64) {
        self.told.remove(&cookie);
        self.note(cookie);
    }

    fn note(&mut self, cookie: u64) {
        if let Some(meanwhile) = &mut self.meanwhile
            && meanwhile.len() < MOST
        {
            meanwhile.insert(cookie);
        }
    }

    /// A list is going to be made.
    pub(super) fn ask(&mut self) {
        self.meanwhile = Some(HashSet::new());
    }

    /// The list has been made; it is sorted by cookie. What it shows is told from now on, also what does
    /// not pass these filters: others may be in force when the next list is made.
    pub(super) fn answer(&mut self, listed: &[ExistingSocket], filters: &Filters) -> Missed {
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        let is_listed = |cookie| {
            let found = listed.binary_search_by_key(&cookie, |socket| socket.cookie);
            found.is_ok()
        };
        let gone = |cookie: &u64| !is_listed(*cookie) && !meanwhile.contains(cookie);
        let closed: Vec<_> = self.told.extract_if(gone).collect();
        let older = std::mem::take(&mut self.older);
        let new = |socket: &&ExistingSocket| {
            let cookie = &socket.cookie;
            !self.told.contains(cookie) && !meanwhile.contains(cookie)
        };
        let mut opened: Vec<_> = listed.iter().filter(new).copied().collect();
        for socket in &opened {
            self.opened(socket.cookie);
        }
        opened.retain(|socket| filters.pass(socket.local, socket.remote));
        Missed {
            older: opened
                .iter()
                .filter(|socket| older.contains(&socket.cookie))
                .count(),
            opened,
            closed,
        }
    }
}

fn cookies(sockets: &[ExistingSocket]) -> HashSet<u64> {
    let first = sockets.iter().take(MOST);
    first.map(|socket| socket.cookie).collect()
}

#[cfg(test)]
mod tests {
    use packet_headers_common::Endpoint;

    use super::*;

    fn sockets(cookies: &[u64]) -> Vec<ExistingSocket> {
        let sockets = cookies.iter().map(|&cookie| ExistingSocket {
            cookie,
            local: Endpoint::v4([10, 0, 0, 1], 443),
            remote: Endpoint::v4([10, 0, 0, 2], 50_000),
            inode: 0,
            uid: 0,
            cgroup: None,
        });
        sockets.collect()
    }

    /// Everything passes.
    const ALL: Filters = Filters {
        wanted: model::Wanted::All,
        exclude_loopback: false,
        ports: Vec::new(),
        exclude_ports: Vec::new(),
        nets: Vec::new(),
        exclude_nets: Vec::new(),
    };

    /// The cookies of what an answer says.
    fn said(missed: &Missed) -> (Vec<u64>, Vec<u64>) {
        let opened = missed.opened.iter().map(|socket| socket.cookie).collect();
        let mut closed = missed.closed.clone();
        closed.sort_unstable();
        (opened, closed)
    }

    #[test]
    fn what_nobody_told_is_told_once() {
        let mut catch_up = CatchUp::default();
        for cookie in [1, 2, 3] {
            catch_up.opened(cookie);
        }
        catch_up.closed(3);
        catch_up.ask();
        let missed = catch_up.answer(&sockets(&[2, 4, 5]), &ALL);
        assert_eq!(said(&missed), (vec![4, 5], vec![1]));
        catch_up.ask();
        let again = catch_up.answer(&sockets(&[2, 4, 5]), &ALL);
        assert_eq!(again, Missed::default());
        catch_up.ask();
        let gone = catch_up.answer(&[], &ALL);
        assert_eq!(said(&gone), (vec![], vec![2, 4, 5]));
    }

    #[test]
    fn what_is_told_while_the_list_is_made_is_believed_before_the_list() {
        let mut catch_up = CatchUp::default();
        catch_up.opened(1);
        catch_up.opened(2);
        catch_up.ask();
        catch_up.opened(3);
        catch_up.closed(2);
        catch_up.opened(4);
        catch_up.closed(4);
        // The list has 2 and 4 from before they closed, and misses 3, which opened afterwards.
        let missed = catch_up.answer(&sockets(&[1, 2, 4]), &ALL);
        assert_eq!(missed, Missed::default());
        catch_up.ask();
        let missed = catch_up.answer(&sockets(&[1, 3]), &ALL);
        assert_eq!(missed, Missed::default());
    }

    #[test]
    fn only_those_that_were_there_at_the_start_are_older() {
        let mut catch_up = CatchUp::default();
        catch_up.are_older(&sockets(&[1, 2, 3]));
        catch_up.opened(2);
        catch_up.ask();
        let missed = catch_up.answer(&sockets(&[2, 3, 4]), &ALL);
        assert_eq!(said(&missed), (vec![3, 4], vec![]));
        assert_eq!(missed.older, 1);
        catch_up.ask();
        assert_eq!(catch_up.answer(&sockets(&[5]), &ALL).older, 0);
    }

    #[test]
    fn those_that_are_not_to_be_captured_are_never_told() {
        let mut catch_up = CatchUp::default();
        let filters = Filters {
            ports: vec![443],
            ..Filters::default()
        };
        catch_up.are_told(&sockets(&[1]));
        catch_up.ask();
        let mut listed = sockets(&[1, 2, 3]);
        listed[2].local = Endpoint::v4([10, 0, 0, 1], 80);
        let missed = catch_up.answer(&listed, &filters);
        assert_eq!(said(&missed), (vec![2], vec![]));
        // Nor when the filters change: it began before.
        catch_up.ask();
        assert_eq!(catch_up.answer(&listed, &ALL), Missed::default());
    }
}
