use flow_stats::{Connection, Segment};

use super::*;

/// The row of one SYN from 192.0.2.1:50000 to 192.0.2.2:443.
pub(crate) fn row() -> Row {
    let mut ip = vec![
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    ip.extend(50_000_u16.to_be_bytes());
    ip.extend(443_u16.to_be_bytes());
    ip.extend([0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let syn = Segment::of_ip(1_795_910_400_000_000_000, &ip, 40, 1).unwrap();
    Connection::new(&syn).row()
}

fn takes(condition: &str) -> bool {
    condition.parse::<Condition>().unwrap().takes(&row())
}

#[test]
fn each_relation_holds_for_what_it_says() {
    for (relation, of_442, of_443, of_444) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        ("<", false, false, true),
        ("<=", false, true, true),
        (">", true, false, false),
        (">=", true, true, false),
    ] {
        let [one, same, other] =
            [442, 443, 444].map(|port| takes(&format!("server_port{relation}{port}")));
        assert_eq!((one, same, other), (of_442, of_443, of_444), "{relation}");
    }
}

#[test]
fn values_of_every_kind_are_compared() {
    for (condition, holds) in [
        ("client_ip=192.0.2.1", true),
        ("ended = open", true),
        ("ended!=open", false),
        ("from_syn=true", true),
        ("from_syn=false", false),
        ("start_time>=2026-11-29", true),
        ("start_time<2026-11-29T00:00:00Z", false),
    ] {
        assert_eq!(takes(condition), holds, "{condition}");
    }
}

#[test]
fn what_is_not_known_fulfils_no_condition() {
    for condition in [
        "client_rtt_p50_us>=0",
        "client_rtt_p50_us<1",
        "client_rtt_p50_us!=5",
        "uuid!=x",
    ] {
        assert!(!takes(condition), "{condition}");
    }
}

#[test]
fn what_is_no_condition_is_refused_by_its_reason() {
    let refused = |text: &str| text.parse::<Condition>().unwrap_err().to_string();
    assert!(refused("packets").contains("as in"));
    assert!(refused("packets!5").contains("as in"));
    assert!(refused("packets=many").contains("numbers"));
    assert!(refused("packets=-1").contains("numbers"));
    assert!(refused("from_syn=maybe").contains("true or false"));
    assert!(refused("start_time=now").contains("2026-11-29"));
    assert!(refused("rtt p50>5").contains("client_rtt_p50_us, client_ts_rtt_p50_us"));
    assert!(refused("nothing>5").contains("--columns"));
}
