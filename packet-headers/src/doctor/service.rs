//! What the daemon serves: whether it can listen at its addresses.

use std::path::Path;

use super::finding::Group;
use crate::config::Service;
use crate::events::publish;
use crate::http::Listener;
use crate::unix_socket::{Place, inspect};
use model::ListenAddress;

pub(super) async fn check(service: &Service) -> Group {
    let mut group = Group::new("service");
    match &service.http {
        None => group.ok(HTTP, "nothing is served over HTTP"),
        Some(address) => http(&mut group, address).await,
    }
    if let Some(path) = &service.events {
        events(&mut group, path);
    }
    group
}

const HTTP: &str = "HTTP";

/// Listens at the address for a moment.
async fn http(group: &mut Group, address: &ListenAddress) {
    match Listener::bind(address).await {
        Ok(_closed_again) => group.ok(HTTP, format!("{address} is free")),
        Err(diagnostic) => group.diagnostic(HTTP, diagnostic),
    }
}

/// Checks that the event socket can be created at a path.
fn events(group: &mut Group, path: &Path) {
    const NAME: &str = "eventsocket.listen";
    let at = path.display();
    match inspect(path, publish::SOCKET) {
        Ok(Place::Free) => group.ok(NAME, format!("{at} can be created")),
        Ok(Place::LeftOver) => group.ok(
            NAME,
            format!("{at} was left by a program that has ended; the daemon replaces it"),
        ),
        Err(diagnostic) => group.diagnostic(NAME, diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::super::finding::State;
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_in_use_is_a_problem() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let mut taken = Group::new("service");
        http(&mut taken, &address).await;
        drop(listener);
        let mut free = Group::new("service");
        http(&mut free, &address).await;
        assert_eq!(taken.the(HTTP).state, State::Problem);
        assert!(taken.the(HTTP).found.contains("in use"), "{taken:?}");
        assert_eq!(free.the(HTTP).state, State::Ok);
    }

    #[test]
    fn a_place_for_a_socket_is_free_or_left_over_or_taken() {
        let home = tempfile::tempdir().unwrap();
        let judged = |path: &Path| {
            let mut group = Group::new("service");
            events(&mut group, path);
            group.the("eventsocket.listen").state
        };
        let path = home.path().join("events.sock");
        assert_eq!(judged(&path), State::Ok);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(judged(&path), State::Problem);
        drop(listener);
        assert_eq!(judged(&path), State::Ok);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(judged(&path), State::Problem);
        assert_eq!(
            judged(&home.path().join("none/events.sock")),
            State::Problem
        );
        assert_eq!(judged(Path::new(&"x".repeat(200))), State::Problem);
    }
}
