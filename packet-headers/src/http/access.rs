//! Who may list connections.
//!
//! A browser on this host is a client on this host, whatever page it shows. Such a page reaches us by
//! our address from another origin, or by *DNS rebinding*: its own name is made to point here, so
//! that the browser takes our answer for the page's own. The first shows in `Origin` and
//! `Sec-Fetch-Site`, the second in `Host`: it has the page's name, and never a bare address.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Version};

use super::requester::Requester;
use model::{FlowReaders, HostName};

/// Where a browser says that a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The name by which a host reaches itself.
const LOCALHOST: &str = "localhost";

/// The answer to clients that may not list connections.
const NOT_YOURS: &str =
    "forbidden: this client may not list connections (see --serve-flows of the daemon)";

/// The answer to pages of other sites.
const CROSS_SITE: &str = "forbidden: web pages of other sites may not list connections";

/// The answer to requests that do not say which host they mean.
const NO_HOST: &str = "a request needs one Host, which is a host's address or name";

/// Who may list connections, and by which names of this host.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) readers: FlowReaders,
    pub(crate) names: Vec<HostName>,
}

/// The answer to a client that may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

impl Access {
    /// Checks that a request may list connections.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn check(&self, requester: Requester, request: &Parts) -> Result<(), Refusal> {
        let may = match self.readers {
            FlowReaders::Host => requester.is_local,
            FlowReaders::Anyone => true,
            FlowReaders::Nobody => false,
        };
        if !may {
            return Err(Refusal::new(StatusCode::FORBIDDEN, NOT_YOURS));
        }
        let host = host(request)?;
        if let Some(host) = host {
            self.check_host(host)?;
        }
        if is_foreign(&request.headers, host) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, CROSS_SITE));
        }
        Ok(())
    }

    /// Checks that a request means this host by a name that nobody else can give it.
    fn check_host(&self, host: &str) -> Result<(), Refusal> {
        let name = without_port(host);
        let localhost = name.strip_suffix('.').unwrap_or(name);
        let known = is_address(name)
            || localhost.eq_ignore_ascii_case(LOCALHOST)
            || self.names.iter().any(|known| known.is(name));
        if known {
            return Ok(());
        }
        let why = format!(
            "misdirected: connections are listed at this host's address or at localhost, not at \
             {name:?}; to allow that name, start the daemon with --http-host={name}"
        );
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, why))
    }
}

/// The host that a request means; `None` for one of HTTP/1.0 that does not say. No browser sends
/// that.
fn host(request: &Parts) -> Result<Option<&str>, Refusal> {
    let bad = || Refusal::new(StatusCode::BAD_REQUEST, NO_HOST);
    let mut given = request.headers.get_all(HOST).iter();
    let header = given.next().map(|host| host.to_str().map_err(|_odd| bad()));
    let header = header.transpose()?;
    if given.next().is_some() {
        return Err(bad());
    }
    // A request to a proxy has it in its first line too.
    let target = request.uri.authority().map(Authority::as_str);
    match (header, target) {
        (None, None) if request.version > Version::HTTP_10 => Err(bad()),
        (Some(header), Some(target)) if header != target => Err(bad()),
        (header, target) => Ok(header.or(target)),
    }
}

/// Whether a browser says that a page of another origin sent the request.
fn is_foreign(headers: &HeaderMap, host: Option<&str>) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let other_site = sites.any(|site| site != "same-origin" && site != "none");
    let mut origins = headers.get_all(ORIGIN).iter();
    let other_origin = origins.any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let at = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        at.is_none() || at != host
    });
    other_site || other_origin
}

/// The host without its port. An IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a host is an IPv4 address, or an IPv6 address in brackets.
fn is_address(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(address) => {
            // A zone may follow: fe80::1%25eth0.
            let address = address.split('%').next().unwrap_or_default();
            address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())
        }
        None => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(version: Version, target: &str, headers: &[(&str, &str)]) -> u16 {
        let access = Access {
            readers: FlowReaders::Host,
            names: vec!["node7.example".parse().unwrap()],
        };
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let local = Requester { is_local: true };
        match access.check(local, &parts) {
            Ok(()) => 200,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    fn host(host: &str) -> u16 {
        check(Version::HTTP_11, "/flows", &[("host", host)])
    }

    #[test]
    fn addresses_localhost_and_given_names_are_this_host() {
        for known in [
            "127.0.0.1",
            "127.0.0.1:9990",
            "10.0.0.7:9990",
            "[::1]",
            "[::1]:9990",
            "[fe80::1%25eth0]:9990",
            "localhost",
            "LocalHost:9990",
            "localhost.:9990",
            "Node7.example:9990",
            "node7.example.",
        ] {
            assert_eq!(host(known), 200, "{known}");
        }
        for other in [
            "evil.example",
            "evil.example:9990",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9990",
            "evil.localhost",
            "node7.example.evil.example",
            "sub.node7.example",
            "::1",
            "[127.0.0.1]",
            "[::1].evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "2130706433",
            "0x7f.1",
            "",
            ":9990",
        ] {
            assert_eq!(host(other), 421, "{other}");
        }
    }

    #[test]
    fn a_request_means_one_host() {
        let [new, old] = [Version::HTTP_11, Version::HTTP_10];
        assert_eq!(check(new, "/flows", &[]), 400);
        assert_eq!(check(old, "/flows", &[]), 200);
        assert_eq!(check(old, "/flows", &[("host", "evil.example")]), 421);
        let twice = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(check(new, "/flows", &twice), 400);
        let proxied = "http://evil.example/flows";
        assert_eq!(check(new, proxied, &[("host", "127.0.0.1")]), 400);
        assert_eq!(check(new, proxied, &[("host", "evil.example")]), 421);
        assert_eq!(check(old, proxied, &[]), 421);
        assert_eq!(check(new, "/flows", &[("host", "\u{fc}")]), 400);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let from = |name, value| {
            let headers = [("host", "127.0.0.1:9990"), (name, value)];
            check(Version::HTTP_11, "/flows", &headers)
        };
        for site in ["cross-site", "same-site", "odd"] {
            assert_eq!(from("sec-fetch-site", site), 403, "{site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(from("sec-fetch-site", site), 200, "{site}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://evil.example:9990",
            "http://127.0.0.1",
            "http://127.0.0.1:9991",
            "127.0.0.1:9990",
        ] {
            assert_eq!(from("origin", origin), 403, "{origin}");
        }
        assert_eq!(from("origin", "http://127.0.0.1:9990"), 200);
    }
}
