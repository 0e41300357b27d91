//! Whatever a file says of a connection's owner, it is little, and says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Owner;

/// More than any owner takes as text, in bytes.
const TEXT: usize = 4096;

fuzz_target!(|text: &str| {
    let Some(owner) = Owner::from_text(text) else {
        return;
    };
    assert_eq!(owner.bounded(), owner);
    let written = owner.to_string();
    assert!(written.len() < TEXT);
    assert!(
        written
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    );
    assert_eq!(Owner::from_text(&written), Some(owner));
});
