//! The architectures that a release is for.

/// What a binary is built for, and what others call that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// Rust's name.
    pub(crate) triple: &'static str,
    /// The processor, in names of files.
    pub(crate) processor: &'static str,
    /// Debian's name, which is OCI's, too.
    pub(crate) debian: &'static str,
    /// The compiler whose C library is linked.
    pub(crate) c_compiler: &'static str,
    /// What removes symbols.
    pub(crate) strip: &'static str,
}

/// Those that a release has.
pub(crate) const TARGETS: [Target; 1] = [Target {
    triple: "x86_64-unknown-linux-gnu",
    processor: "x86_64",
    debian: "amd64",
    c_compiler: "cc",
    strip: "strip",
}];
