//! Whatever comes through tcp-info's socket, it is read the same however it is cut into portions, and
//! what is understood of it is written so that it says the same.
//!
//! The first byte is the size of the portions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::tcp_info::{Lines, Message, close, open};
use model::{BootNanos, EventIssue, Open, WallNanos};

fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else {
        return;
    };
    let whole = read(stream, usize::MAX);
    assert_eq!(read(stream, usize::from(size).max(1)), whole);
    let lines = stream.split(|&byte| byte == b'\n').count();
    assert!(whole.len() <= lines, "more messages than lines");
    for message in whole.into_iter().flatten() {
        let line = write(&message);
        assert_eq!(read(&line, usize::MAX), [Ok(message)]);
    }
});

fn read(stream: &[u8], size: usize) -> Vec<Result<Message, EventIssue>> {
    let mut lines = Lines::default();
    let mut said = Vec::new();
    for portion in stream.chunks(size) {
        said.extend(lines.feed(portion));
    }
    said.extend(lines.finish());
    said
}

/// The message as a line. We never write an Open without a cookie: one that was read so loses it here.
fn write(message: &Message) -> Vec<u8> {
    match message {
        Message::Open {
            opened,
            uuid,
            local,
            remote,
            cookie,
        } => {
            let told = Open {
                at: BootNanos(0),
                opened: *opened,
                uuid: uuid.clone(),
                local: *local,
                remote: *remote,
                role: None,
                cookie: cookie.unwrap_or(0),
                owner: None,
            };
            let line = open(&told).expect("what was read is in range");
            match cookie {
                Some(_) => line,
                None => without_cookie(&line),
            }
        }
        Message::Close(uuid) => close(uuid, WallNanos(0)).expect("1970 is in range"),
    }
}

fn without_cookie(line: &[u8]) -> Vec<u8> {
    let line = str::from_utf8(line).expect("JSON is text");
    let without = line.replacen(r#","Cookie":0"#, "", 1);
    assert_ne!(without, line);
    without.into_bytes()
}
