//! The host's own addresses, as a real kernel tells of them, in a network namespace of the test's
//! own.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail as it does")]

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anonymize::OwnAddresses;
use packet_headers::host::addresses;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::time::{sleep, timeout};

/// How long a removed address stays.
const KEEP: Duration = Duration::from_millis(500);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A network namespace, deleted on drop.
struct Namespace(String);

impl Namespace {
    fn add() -> Self {
        let namespace = Self(format!("pkthdr-own-{}", std::process::id()));
        ip(&format!("netns add {}", namespace.0));
        namespace
    }

    fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.0));
    }

    /// Moves this thread into it.
    fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.0)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.0));
    }
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(
        done.expect("ip, of iproute2, is needed here").success(),
        "ip {arguments}"
    );
}

fn has(own: &OwnAddresses, text: &str) -> bool {
    own.contains(text.parse::<IpAddr>().unwrap())
}

async fn wait(own: &OwnAddresses, text: &str, want: bool) {
    let seen = async {
        while has(own, text) != want {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = timeout(LIMIT, seen).await;
    assert!(seen.is_ok(), "{text} never became {want}");
}

async fn follow(namespace: &Namespace) {
    let (own, watch) = addresses::watch(KEEP).await.unwrap();
    assert!(has(&own, "127.0.0.1") && has(&own, "192.0.2.1"));
    let watch = tokio::spawn(watch.run());
    namespace.ip("address add 2001:db8::1/128 dev lo");
    wait(&own, "2001:db8::1", true).await;
    namespace.ip("address add 192.0.2.9/32 dev lo");
    wait(&own, "192.0.2.9", true).await;
    namespace.ip("address del 192.0.2.1/32 dev lo");
    wait(&own, "192.0.2.1", false).await;
    assert!(has(&own, "2001:db8::1") && has(&own, "192.0.2.9"));
    watch.abort();
}

#[test]
fn what_the_host_has_is_known_at_once_and_changes_soon() {
    let namespace = Namespace::add();
    namespace.ip("link set lo up");
    namespace.ip("address add 192.0.2.1/32 dev lo");
    let inside = || {
        namespace.enter();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(follow(&namespace));
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap();
}
