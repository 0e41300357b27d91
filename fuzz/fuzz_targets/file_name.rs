//! Whatever a file is called, a name that is ours says what it said when it was built.
#![no_main]

use capture_files::FileName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|name: &str| {
    let Some(read) = FileName::parse(name) else {
        // What deletes files takes no name that others do not.
        assert_eq!(FileName::parse_published(name), None);
        return;
    };
    assert_eq!(read.build(), name);
    assert!(!name.contains(['/', '\0']) && !name.starts_with('.'));
});
