//! Whole command lines, and the configuration made from them.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use model::FlowSource;

fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
    let line = [&["packet-headers"], arguments].concat();
    let line = CommandLine::read(line.into_iter().map(OsString::from))?;
    line.capture.check()?;
    Ok(line.capture)
}

fn config(arguments: &[&str]) -> Config {
    parse(arguments).unwrap().into_config().unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    parse(arguments).unwrap_err().to_string()
}

#[test]
fn the_definition_holds_together() {
    command().debug_assert();
}

#[test]
fn nothing_captures_everything_with_the_kernel_as_source() {
    let config = config(&[]);
    assert!(config.interfaces.is_empty());
    assert!(matches!(config.source, FlowSource::Kernel(_)));
    assert_eq!(config.timing.capture, Duration::from_secs(30));
}

#[test]
fn the_arguments_of_a_go_deployment_mean_what_they_say() {
    let given = [
        "-prometheusx.listen-address=10.0.0.7:9993",
        "-datadir=/var/spool/ndt/pcap",
        "-tcpinfo.eventsocket=/var/local/tcpinfoeventsocket/tcpevents.sock",
        "-stream=false",
        "-anonymize.ip=none",
        "-maxidleram=1500MB",
        "-maxheap=2GB",
        "-flowtimeout=5s",
        "-maxflows=150",
    ];
    let notes: Vec<_> = parse(&given).unwrap().notes().collect();
    let [stream, idle] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(stream.contains("--stream") && idle.contains("--maxidleram"));
    let config = config(&given);
    let http = config.service.http.unwrap();
    assert_eq!(http.to_string(), "10.0.0.7:9993");
    assert_eq!(config.files.data, Path::new("/var/spool/ndt/pcap"));
    let FlowSource::TcpInfo(socket, None) = config.source else {
        panic!("{:?}", config.source);
    };
    let path = "/var/local/tcpinfoeventsocket/tcpevents.sock";
    assert_eq!(socket.to_string(), path);
    assert!(config.files.anonymize.is_none());
    assert_eq!(config.sizes.heap, 2_000_000_000);
    assert_eq!(config.sizes.flows, 150);
    assert_eq!(config.timing.idle, Duration::from_secs(5));
    assert_eq!(config.timing.capture, Duration::from_secs(30));
    assert_eq!(config.timing.uuid_wait, Duration::from_secs(5));
}

#[test]
fn every_spelling_of_go_is_the_same_flag() {
    for given in [
        &["-captureduration=1m30s"][..],
        &["--captureduration=90s"],
        &["-captureduration", "1.5m"],
        &["--captureduration", "1m 30s"],
    ] {
        assert_eq!(config(given).timing.capture, Duration::from_secs(90));
    }
    for (given, meant) in [
        ("-existing", true),
        ("--existing=T", true),
        ("-existing=0", false),
        ("-existing=False", false),
    ] {
        assert_eq!(config(&[given]).existing, meant, "{given}");
    }
    assert!(config(&["-fsync=1", "-decapsulate=t"]).files.fsync);
    for given in ["-help", "-h", "--help", "-version", "-V"] {
        assert!(!parse(&[given]).unwrap_err().use_stderr(), "{given}");
    }
}

#[test]
fn the_flags_of_verbs_may_have_one_dash_too() {
    let read = |line: &[&str]| CommandLine::read(line.iter().map(OsString::from)).unwrap();
    let line = read(&["packet-headers", "doctor", "-json", "-maxheap=2GB"]);
    let Some(Verb::Doctor {
        json: true,
        capture,
    }) = line.verb
    else {
        panic!("{line:?}");
    };
    assert_eq!(capture.into_config().unwrap().sizes.heap, 2_000_000_000);
    let line = read(&["packet-headers", "top", "-interval=1.5s"]);
    let Some(Verb::Top(top)) = line.verb else {
        panic!("{line:?}");
    };
    assert_eq!(top.interval, Duration::from_millis(1_500));
}

#[test]
fn a_list_is_given_at_once_or_again() {
    let names = |given: &[&str]| -> Vec<_> {
        let interfaces = config(given).interfaces;
        interfaces.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        names(&["-interface=a,b*", "-interface", "c"]),
        ["a", "b*", "c"]
    );
    let filters = config(&[
        "--net=10.0.0.0/8",
        "--net",
        "2001:db8::/32",
        "--port=443,80",
    ])
    .filters;
    assert_eq!((filters.nets.len(), filters.ports), (2, vec![443, 80]));
}

#[test]
fn an_event_socket_makes_tcpinfo_the_source_unless_told_otherwise() {
    let socket = "--tcpinfo.eventsocket=/run/tcpevents.sock";
    assert!(matches!(config(&[socket]).source, FlowSource::TcpInfo(..)));
    let config = config(&[socket, "--flow-source", "kernel"]);
    assert!(matches!(config.source, FlowSource::Kernel(_)));
}

#[test]
fn sizes_are_taken_as_they_are_meant() {
    for (given, bytes) in [
        ("1500MB", 1_500_000_000),
        ("2GB", 2_000_000_000),
        ("3GiB", 3 << 30),
        ("0.5GB", 500_000_000),
        ("268435456", 268_435_456),
        ("256 MiB", 256 << 20),
    ] {
        let config = config(&["-maxheap", given]);
        assert_eq!(config.sizes.heap, bytes, "{given}");
    }
    let config = config(&[
        "--ring-size=5000KiB",
        "--timestamp=hardware",
        "--decapsulate",
    ]);
    assert_eq!(config.sizes.ring, 5056 << 10);
    assert!(config.hardware_clock && config.decapsulate);
}

#[test]
fn more_headers_than_there_can_be_are_all_of_them_and_said() {
    for (given, kept, said) in [("64", 64, 0), ("1024", 1024, 0), ("9000", 1024, 1)] {
        let given = ["-maxheadersize", given];
        assert_eq!(parse(&given).unwrap().notes().count(), said);
        assert_eq!(config(&given).sizes.headers, kept);
    }
    assert_eq!(parse(&[]).unwrap().notes().count(), 0);
}

#[test]
fn nothing_is_served_where_nothing_is_named() {
    let service = config(&["--watch-socket=", "--prometheusx.listen-address="]).service;
    assert!(service.http.is_none());
    assert!(
        matches!(service.watch, crate::config::WatchSocket::Off),
        "{service:?}"
    );
}

#[test]
fn contradictions_are_refused() {
    let socket = "--tcpinfo.eventsocket=/run/tcpevents.sock";
    let listen = "--eventsocket.listen=/run/ours.sock";
    for (given, said) in [
        (
            &["--uuidwaitduration=40s"][..],
            "--uuidwaitduration (40s) must not exceed --captureduration (30s)",
        ),
        (&["--flow-source=tcpinfo"], "needs --tcpinfo.eventsocket"),
        (&["--flow-source=hybrid"], "needs --tcpinfo.eventsocket"),
        (&[socket, listen], "--flow-source=hybrid or kernel"),
        (
            &[socket, listen, "--flow-source=tcpinfo"],
            "--flow-source=hybrid or kernel",
        ),
        (&["--maxheap=1MB"], "at least"),
        (&["--ring-size=1KiB"], "--ring-size"),
        (&["--linger=-5s"], "cannot be negative"),
        (&["-linger=soon"], "durations are written like"),
        (&["-fsync=maybe"], "use true or false"),
    ] {
        let refusal = refusal(given);
        assert!(refusal.contains(said), "{refusal}");
    }
    for refused in [
        "--shards=0",
        "--maxheadersize=63",
        "--net=10.0.0.0/33",
        "-maxheap=-1GB",
        "-maxheap=x",
    ] {
        assert!(parse(&[refused]).is_err(), "{refused}");
    }
    parse(&[socket, listen, "--flow-source=hybrid"]).unwrap();
    parse(&[listen]).unwrap();
}

#[test]
fn each_flag_has_a_variable_of_its_own_and_only_those_of_go_have_its_names() {
    let command = command();
    let variables: BTreeSet<_> = command
        .get_arguments()
        .filter_map(|flag| flag.get_env()?.to_str())
        .collect();
    let flags = command
        .get_arguments()
        .filter(|flag| flag.get_long().is_some());
    assert_eq!(variables.len(), flags.count());
    let (ours, theirs): (Vec<_>, Vec<_>) = variables
        .iter()
        .partition(|name| name.starts_with("PACKET_HEADERS_"));
    assert_eq!(
        theirs,
        [
            &"ANONYMIZE_IP",
            &"CAPTUREDURATION",
            &"DATADIR",
            &"FLOWTIMEOUT",
            &"INTERFACE",
            &"MAXFLOWS",
            &"MAXHEADERSIZE",
            &"MAXHEAP",
            &"MAXIDLERAM",
            &"PROMETHEUSX_LISTEN_ADDRESS",
            &"SIGTERMWAIT",
            &"STREAM",
            &"TCPINFO_EVENTSOCKET",
            &"UUIDWAITDURATION",
        ]
    );
    assert!(ours.contains(&&"PACKET_HEADERS_PORT"));
    assert!(ours.contains(&&"PACKET_HEADERS_ANONYMIZE_KEY_FILE"));
}

#[test]
fn every_help_has_examples() {
    let mut command = command();
    command.build();
    let helps = |command: &mut Command| {
        [command.render_help(), command.render_long_help()].map(|help| help.to_string())
    };
    for help in helps(&mut command) {
        assert!(help.contains("Examples:"), "{help}");
    }
    for verb in command
        .get_subcommands_mut()
        .filter(|verb| verb.get_name() != "help")
    {
        for help in helps(verb) {
            assert!(help.contains("Examples:"), "{help}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_value_is_said() {
    for (given, said) in [
        (
            "--net=10.0.0.1/33",
            "prefix length of an IPv4 network is 0 to 32",
        ),
        ("--exclude-net=home", "\"home\" is no IP address"),
        ("--max-disk=5GBB", "sizes are written like 1500MB"),
        ("--maxheap=lots", "sizes are written like 1500MB"),
    ] {
        let refusal = refusal(&[given]);
        assert!(refusal.contains(said), "{refusal}");
    }
    let filters = config(&["--net=192.0.2.7,2001:db8::1"]).filters;
    let nets: Vec<_> = filters.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["192.0.2.7/32", "2001:db8::1/128"]);
}

#[test]
fn who_wants_json_is_known_even_if_nothing_else_is() {
    let wants = |line: &[&str]| wants_json(line.iter().map(OsString::from));
    for line in [
        &["p", "--nonsense", "--log-format=json"][..],
        &["p", "-log-format", "json", "-x"],
    ] {
        assert!(wants(line), "{line:?}");
    }
    for line in [
        &["p"][..],
        &["p", "--log-format=text"],
        &["p", "flows", "--log-format=json"],
    ] {
        assert!(!wants(line), "{line:?}");
    }
}

#[test]
fn help_has_a_heading_for_each_group_and_fits_a_hundred_columns() {
    let mut command = command();
    let long = command.render_long_help().to_string();
    for heading in [
        "Capture",
        "Names",
        "Files",
        "Anonymization",
        "Limits",
        "Service",
        "Accepted for compatibility",
    ] {
        assert!(long.contains(&format!("\n{heading}")), "{heading}: {long}");
    }
    let short = command.render_help().to_string();
    for line in long.lines().chain(short.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(short.lines().count() * 2 < long.lines().count());
}
