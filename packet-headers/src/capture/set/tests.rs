//! The set of captured interfaces, with an attacher that only records what is asked of it.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Result, ensure};
use packet_headers_common::LinkType;

use super::*;

/// What happened, in order.
type Log = Rc<RefCell<Vec<String>>>;

/// Refuses interfaces with these names; the programs on `lost` ones have been detached.
#[derive(Default)]
struct Fake {
    log: Log,
    refuse: HashSet<String>,
    lost: HashSet<u32>,
    sockets: bool,
}

struct FakeLink(Log, u32);

impl Drop for FakeLink {
    fn drop(&mut self) {
        self.0.borrow_mut().push(format!("-{}", self.1));
    }
}

impl Attach for Fake {
    type Link = FakeLink;
    type SocketLink = ();

    fn attach(&mut self, interface: &Interface) -> Result<FakeLink> {
        ensure!(!self.refuse.contains(&interface.name), "refused");
        self.log.borrow_mut().push(format!("+{}", interface.index));
        Ok(FakeLink(Rc::clone(&self.log), interface.index))
    }

    fn watch_sockets(&mut self) -> Result<()> {
        ensure!(!self.refuse.contains("sockets"), "refused");
        self.sockets = true;
        Ok(())
    }

    fn gone(&mut self, interface: &Interface, _: &FakeLink) -> Result<Option<String>> {
        let lost = self.lost.remove(&interface.index);
        Ok(lost.then(|| "detached".to_owned()))
    }

    fn sockets_gone(&mut self, (): &()) -> Result<Option<String>> {
        Ok((!self.sockets).then(|| "detached".to_owned()))
    }
}

fn interface(name: &str, index: u32, link_type: LinkType) -> Interface {
    Interface {
        name: name.to_owned(),
        index,
        link_type,
    }
}

fn eth(name: &str, index: u32) -> Interface {
    interface(name, index, LinkType::Ethernet)
}

fn removed(indexes: &[u32]) -> Changes {
    Changes {
        removed: indexes.iter().copied().collect(),
        overrun: false,
    }
}

/// What is attached (+) and detached (-) for a change of the wanted interfaces, in order.
fn steps(set: &mut CaptureSet<Fake>, wanted: &[Interface], changes: &Changes) -> String {
    set.reconcile(wanted, changes, &|| ());
    set.attacher.log.take().join(" ")
}

#[test]
fn what_comes_is_attached_and_what_goes_is_detached() {
    let mut set = CaptureSet::new(Fake::default());
    let both = [eth("eth0", 2), eth("veth1", 3)];
    assert_eq!(steps(&mut set, &both, &Changes::default()), "+2 +3");
    assert_eq!(steps(&mut set, &both, &Changes::default()), "");
    assert_eq!(steps(&mut set, &both[..1], &removed(&[3])), "-3");
    assert_eq!(steps(&mut set, &[], &Changes::default()), "-2");
}

#[test]
fn another_interface_with_the_same_index_is_another_interface() {
    let mut set = CaptureSet::new(Fake::default());
    let one = [eth("eth0", 2)];
    steps(&mut set, &one, &Changes::default());
    assert_eq!(steps(&mut set, &one, &removed(&[2])), "-2 +2");
    let raw = [interface("eth0", 2, LinkType::RawIp)];
    assert_eq!(steps(&mut set, &raw, &Changes::default()), "-2 +2");
}

#[test]
fn a_renamed_interface_stays_attached() {
    let mut set = CaptureSet::new(Fake::default());
    steps(&mut set, &[eth("eth0", 2)], &Changes::default());
    let renamed = [eth("lan", 2)];
    assert_eq!(steps(&mut set, &renamed, &Changes::default()), "");
    assert_eq!(set.captured[&2].interface.name, "lan");
}

#[test]
fn after_an_overrun_only_what_is_detached_is_attached_again() {
    let mut set = CaptureSet::new(Fake::default());
    let both = [eth("eth0", 2), eth("veth1", 3)];
    steps(&mut set, &both, &Changes::default());
    set.attacher.lost.insert(3);
    assert_eq!(steps(&mut set, &both, &Changes::default()), "");
    let overrun = Changes {
        overrun: true,
        ..Changes::default()
    };
    assert_eq!(steps(&mut set, &both, &overrun), "-3 +3");
}

#[test]
fn a_failure_to_attach_is_reported_once_and_retried_at_each_change() {
    let mut set = CaptureSet::new(Fake::default());
    set.attacher.refuse.insert("veth1".to_owned());
    let both = [eth("eth0", 2), eth("veth1", 3)];
    let failures = set.reconcile(&both, &Changes::default(), &|| ());
    let reported: Vec<_> = failures
        .iter()
        .map(|(i, error)| format!("{}: {error}", i.name))
        .collect();
    assert_eq!(reported, ["veth1: refused"]);
    assert!(set.reconcile(&both, &Changes::default(), &|| ()).is_empty());
    // After it has left and come back, the failure is reported again.
    assert!(
        set.reconcile(&both[..1], &Changes::default(), &|| ())
            .is_empty()
    );
    assert_eq!(set.reconcile(&both, &Changes::default(), &|| ()).len(), 1);
    set.attacher.refuse.clear();
    set.attacher.log.take();
    assert_eq!(steps(&mut set, &both, &Changes::default()), "+3");
}

/// What was lost, in words.
fn lost(set: &mut CaptureSet<Fake>) -> Vec<String> {
    let lost = set.notice_losses(&|| ());
    lost.iter().map(ToString::to_string).collect()
}

/// What is missing, in words.
fn missing(set: &CaptureSet<Fake>) -> Vec<String> {
    let missing = set.attached.missing();
    missing.iter().map(ToString::to_string).collect()
}

#[test]
fn what_others_detach_is_noticed_counted_and_attached_again() {
    let mut set = CaptureSet::new(Fake::default());
    let both = [eth("eth0", 2), eth("veth1", 3)];
    steps(&mut set, &both, &Changes::default());
    set.watch_sockets().unwrap();
    assert!(lost(&mut set).is_empty());
    set.attacher.lost.insert(3);
    set.attacher.sockets = false;
    assert_eq!(lost(&mut set), ["veth1 (detached)", "sockets (detached)"]);
    assert_eq!(steps(&mut set, &both, &Changes::default()), "-3 +3");
    assert!(set.attacher.sockets);
    assert!(missing(&set).is_empty());
    let counted = (set.attached.interfaces_lost(), set.attached.sockets_lost());
    assert_eq!(counted, (1, 1));
    assert!(lost(&mut set).is_empty());
}

#[test]
fn what_cannot_be_attached_again_is_missing_until_it_can_or_is_not_wanted_any_more() {
    let mut set = CaptureSet::new(Fake::default());
    let both = [eth("eth0", 2), eth("veth1", 3)];
    steps(&mut set, &both, &Changes::default());
    set.watch_sockets().unwrap();
    set.attacher.lost.extend([2, 3]);
    set.attacher.sockets = false;
    let refused = ["eth0", "veth1", "sockets"].map(str::to_owned);
    set.attacher.refuse.extend(refused);
    assert_eq!(lost(&mut set).len(), 3);
    let failures = set.reconcile(&both, &Changes::default(), &|| ());
    assert_eq!(failures.len(), 2);
    let why = ["eth0", "veth1", "sockets"].map(|place| format!("{place} (detached; refused)"));
    assert_eq!(missing(&set), why);
    // Tried again, said once, counted once.
    assert!(lost(&mut set).is_empty());
    assert!(set.reconcile(&both, &Changes::default(), &|| ()).is_empty());
    assert_eq!(missing(&set), why);
    steps(&mut set, &both[..1], &Changes::default());
    assert_eq!(missing(&set), [&*why[0], &*why[2]]);
    set.attacher.refuse.clear();
    steps(&mut set, &both[..1], &Changes::default());
    assert!(missing(&set).is_empty());
    assert_eq!(set.attached.interfaces_lost(), 2);
}
