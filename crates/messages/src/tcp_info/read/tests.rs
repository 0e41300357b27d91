//! Lines of tcp-info: those it writes, and those it should not.

use proptest::prelude::*;

use super::*;

/// The lines of a running tcp-info v1.9.0.
const OPEN: &str = r#"{"Event":0,"Timestamp":"2026-11-23T06:31:50.577678432Z","UUID":"vm_1795414125_unsafe_0000000000001002","ID":{"SPort":5001,"DPort":53660,"SrcIP":"10.98.0.2","DstIP":"10.98.0.1","Interface":0,"Cookie":4098}}"#;
const CLOSE: &str = r#"{"Event":1,"Timestamp":"2026-11-23T01:31:55.628390818-05:00","UUID":"vm_1795414125_unsafe_0000000000001001","ID":null}"#;

/// 2026-11-23T06:31:50Z, in seconds.
const SECOND: u64 = 1_795_415_510;

fn opened() -> Message {
    Message::Open {
        opened: WallNanos(SECOND * 1_000_000_000 + 577_678_432),
        uuid: FlowUuid::new("vm_1795414125_unsafe_0000000000001002").unwrap(),
        local: Endpoint::v4([10, 98, 0, 2], 5001),
        remote: Endpoint::v4([10, 98, 0, 1], 53660),
        cookie: Some(4098),
    }
}

/// `opened()` with another cookie.
fn opened_with(cookie: Option<u64>) -> Message {
    let mut message = opened();
    if let Message::Open { cookie: place, .. } = &mut message {
        *place = cookie;
    }
    message
}

fn closed() -> Message {
    Message::Close(FlowUuid::new("vm_1795414125_unsafe_0000000000001001").unwrap())
}

/// Reads `OPEN` with one part of it replaced.
fn open_with(part: &str, instead: &str) -> Result<Message, EventIssue> {
    let line = OPEN.replacen(part, instead, 1);
    assert_ne!(line, OPEN, "{part} is not in the line");
    parse(line.as_bytes())
}

/// Reads `OPEN` with addresses replaced; gives both ends.
fn ends(local: &str, remote: &str) -> Result<(Endpoint, Endpoint), EventIssue> {
    let line = OPEN
        .replacen("10.98.0.2", local, 1)
        .replacen("10.98.0.1", remote, 1);
    match parse(line.as_bytes())? {
        Message::Open { local, remote, .. } => Ok((local, remote)),
        Message::Close(_) => panic!("an Open was read as a Close"),
    }
}

#[test]
fn the_lines_of_tcp_info_are_read_exactly() {
    assert_eq!(parse(OPEN.as_bytes()), Ok(opened()));
    assert_eq!(parse(CLOSE.as_bytes()), Ok(closed()));
}

#[test]
fn a_close_needs_no_id_and_ignores_one() {
    for id in ["", r#","ID":{}"#, r#","ID":{"SPort":1}"#, r#","ID":"x""#] {
        let line = CLOSE.replace(r#","ID":null"#, id);
        assert_eq!(parse(line.as_bytes()), Ok(closed()), "{line}");
    }
}

#[test]
fn unknown_absent_and_escaped_parts_are_tolerated() {
    let with = r#""Event":0,"New":[{"Event":7},"\n"]"#;
    assert_eq!(open_with(r#""Event":0"#, with), Ok(opened()));
    assert_eq!(open_with(r#","Interface":0"#, ""), Ok(opened()));
    assert_eq!(open_with("vm_", r"\u0076m\u005f"), Ok(opened()));
}

#[test]
fn a_cookie_is_unsigned_and_an_open_counts_without_it() {
    for (text, cookie) in [
        ("-1", Some(u64::MAX)),
        ("-9223372036854775808", Some(1 << 63)),
        ("9223372036854775807", Some((1 << 63) - 1)),
        ("18446744073709551615", Some(u64::MAX)),
        ("0", Some(0)),
        ("18446744073709551616", None),
        ("-9223372036854775809", None),
        ("1e999", None),
        ("4098.0", None),
        (r#""4098""#, None),
        (r#"{"Cookie":[1]}"#, None),
        ("null", None),
    ] {
        assert_eq!(open_with("4098", text), Ok(opened_with(cookie)), "{text}");
    }
    let absent = open_with(r#","Cookie":4098"#, "");
    assert_eq!(absent, Ok(opened_with(None)));
}

#[test]
fn every_refusal_has_its_reason() {
    use EventIssue::*;
    let long = "x".repeat(201);
    let time = "2026-11-23T06:31:50.577678432Z";
    for (part, instead, reason) in [
        (r#""Event":0"#, r#""Event":2"#, UnknownEvent),
        (r#""Event":0"#, r#""Event":-1"#, UnknownEvent),
        (r#""Event":0"#, r#""Event":"0""#, BadJson),
        (r#""Event":0"#, r#""Event":0,"Event":0"#, BadJson),
        (r#""Event":0,"#, "", BadJson),
        ("UUID", "Uuid", BadJson),
        ("Timestamp", "Time", BadJson),
        ("5001", "65536", BadJson),
        ("53660", "-1", BadJson),
        ("}}", "}", BadJson),
        ("}}", "}}}", BadJson),
        (r#""ID":{"#, r#""ID":null,"Was":{"#, NilId),
        (r#""ID":{"#, r#""Was":{"#, NilId),
        ("10.98.0.2", "10.98.0.256", BadAddress),
        ("10.98.0.1", "", BadAddress),
        ("10.98.0.1", "host.example", BadAddress),
        ("10.98.0.1", "fe80::1%eth0", BadAddress),
        ("vm_", "../", BadUuid),
        ("vm_", ".", BadUuid),
        ("vm_1795414125_unsafe_0000000000001002", "", BadUuid),
        ("vm_", long.as_str(), BadUuid),
        ("2026-11-23T", "2026-13-23T", BadTimestamp),
        ("50.577678432Z", "50.577678432", BadTimestamp),
        (time, "", BadTimestamp),
        (time, "0001-01-01T00:00:00Z", BadTimestamp),
        (time, "1969-12-31T23:59:59Z", BadTimestamp),
        (time, "1970-01-01T00:59:59+01:00", BadTimestamp),
        (time, "9999-01-01T00:00:00Z", BadTimestamp),
    ] {
        assert_eq!(open_with(part, instead), Err(reason), "{part} -> {instead}");
    }
    for broken in [
        "{",
        "null",
        "[]",
        "0",
        "Event",
        "{}",
        "\u{0}",
        r#"{"Event":0}"#,
    ] {
        assert_eq!(parse(broken.as_bytes()), Err(BadJson), "{broken:?}");
    }
    assert_eq!(parse(b"{\"Event\":0,\"UUID\":\"\xff\"}"), Err(BadJson));
    assert_eq!(parse(&[b'['; MAX_LINE]), Err(BadJson));
    // Another event may look as it likes.
    assert_eq!(parse(br#"{"Event":7,"ID":"other"}"#), Err(UnknownEvent));
}

#[test]
fn timestamps_of_all_shapes_are_exact() {
    let second = SECOND * 1_000_000_000;
    for (text, nanos) in [
        ("2026-11-23T06:31:50Z", 0),
        ("2026-11-23T01:31:50-05:00", 0),
        ("2026-11-23T12:16:50.25+05:45", 250_000_000),
        ("2026-11-22T23:31:50.000000001-07:00", 1),
        ("2026-11-23T06:31:50+00:00", 0),
    ] {
        assert_eq!(timestamp(text), Ok(WallNanos(second + nanos)), "{text}");
    }
    for digits in 1..=9 {
        let fraction = &"123456789"[..digits];
        let nanos: u64 = format!("{fraction:0<9}").parse().unwrap();
        for (hour, offset) in [("06", "Z"), ("01", "-05:00")] {
            let text = format!("2026-11-23T{hour}:31:50.{fraction}{offset}");
            assert_eq!(timestamp(&text), Ok(WallNanos(second + nanos)), "{text}");
        }
    }
    assert_eq!(timestamp("1970-01-01T00:00:00Z"), Ok(WallNanos(0)));
}

#[test]
fn addresses_of_both_families_are_read() {
    let six = |high, low, port| Endpoint::v6([high, low], port);
    let read = ends("2001:db8::2", "2001:0db8:0:0:1:0:0:1");
    let local = six(0x2001_0db8_0000_0000, 2, 5001);
    let remote = six(0x2001_0db8_0000_0000, 0x0001_0000_0000_0001, 53660);
    assert_eq!(read, Ok((local, remote)));
    assert_eq!(ends("::", "::1"), Ok((six(0, 0, 5001), six(0, 1, 53660))));
}

#[test]
fn a_mapped_ipv4_address_is_the_ipv4_address() {
    let plain = ends("1.2.3.4", "10.0.0.1");
    assert!(plain.is_ok());
    assert_eq!(ends("::ffff:1.2.3.4", "::ffff:a00:1"), plain);
}

/// What the lines of `stream` say, when it comes in portions of `size` bytes.
fn read(stream: &[u8], size: usize) -> Vec<Result<Message, EventIssue>> {
    let mut lines = Lines::default();
    let mut said = Vec::new();
    for portion in stream.chunks(size) {
        said.extend(lines.feed(portion));
        assert!(lines.begun.len() <= MAX_LINE);
    }
    said.extend(lines.finish());
    said
}

#[test]
fn lines_are_the_same_however_the_stream_is_cut() {
    let stream = format!("\n{OPEN}\r\n\n  \nbroken\n{CLOSE}");
    let said = [Ok(opened()), Err(EventIssue::BadJson), Ok(closed())];
    for size in 1..=stream.len() {
        assert_eq!(read(stream.as_bytes(), size), said, "portions of {size}");
    }
}

#[test]
fn an_incomplete_last_line_is_broken_json() {
    let stream = &OPEN[..OPEN.len() - 1];
    assert_eq!(read(stream.as_bytes(), 100), [Err(EventIssue::BadJson)]);
}

#[test]
fn a_line_may_have_64_kib_and_no_more() {
    let padded = |length: usize| {
        let padding = " ".repeat(length - OPEN.len());
        format!("{OPEN}{padding}\n{CLOSE}\n")
    };
    // As its documentation says.
    assert_eq!(MAX_LINE, 65_536);
    for size in [1, 1000, MAX_LINE, 2 * MAX_LINE + 2] {
        let said = read(padded(MAX_LINE).as_bytes(), size);
        assert_eq!(said, [Ok(opened()), Ok(closed())]);
        for length in [MAX_LINE + 1, 3 * MAX_LINE] {
            let said = read(padded(length).as_bytes(), size);
            assert_eq!(said, [Err(EventIssue::TooLong), Ok(closed())]);
        }
    }
}

#[test]
fn an_endless_line_is_refused_before_it_ends() {
    let mut lines = Lines::default();
    let portion = [b'{'; 1024];
    let refused: Vec<_> = (0..1024)
        .flat_map(|_| lines.feed(&portion).collect::<Vec<_>>())
        .collect();
    assert_eq!(refused, [Err(EventIssue::TooLong)]);
    assert_eq!(lines.finish(), None);
}

proptest! {
    #[test]
    fn bytes_never_panic(stream: Vec<u8>, size in 1usize..64) {
        let whole = read(&stream, usize::MAX);
        prop_assert_eq!(read(&stream, size), whole);
    }

    #[test]
    fn each_line_is_an_event_or_has_a_reason(lines in prop::collection::vec("\\PC{0,60}", 0..9)) {
        let full = lines.iter().filter(|line| !line.as_bytes().trim_ascii().is_empty());
        prop_assert_eq!(read(lines.join("\n").as_bytes(), 7).len(), full.count());
    }

    #[test]
    fn damaged_events_never_panic(at in 0..OPEN.len(), byte: u8, end in 0..=OPEN.len()) {
        let mut line = OPEN.as_bytes().to_vec();
        line[at] = byte;
        drop(parse(&line));
        drop(parse(&line[..end]));
    }

    #[test]
    fn fields_of_any_text_never_panic(time in "\\PC{0,40}", uuid: String, ip: String, port: i64) {
        let line = serde_json::json!({
            "Event": 0, "Timestamp": time, "UUID": uuid,
            "ID": {"SPort": port, "DPort": 1, "SrcIP": ip, "DstIP": "::1"},
        });
        drop(parse(line.to_string().as_bytes()));
    }

    #[test]
    fn any_time_of_tcp_info_is_exact(seconds in 0i64..18_000_000_000, nanos in 0i32..1_000_000_000) {
        let time = Timestamp::new(seconds, nanos).unwrap();
        let expected = u64::try_from(time.as_nanosecond()).unwrap();
        prop_assert_eq!(timestamp(&time.to_string()), Ok(WallNanos(expected)));
    }
}
