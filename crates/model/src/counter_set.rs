//! Counters that are named by an enum: one for each of its values, and no other.

/// Declares an enum whose values operators know by name, and a set of counters with one slot for each.
///
/// ```
/// model::counter_set! {
///     /// Why a letter came back.
///     Returns by Return {
///         /// Nobody lives there.
///         Unknown = "unknown",
///         /// It was refused.
///         Refused = "refused",
///     }
/// }
/// let returns = Returns::default();
/// returns.add(Return::Refused, 2);
/// assert_eq!(returns.get(Return::Refused), 2);
/// assert_eq!(returns.nonzero().collect::<Vec<_>>(), [("refused", 2)]);
/// ```
#[macro_export]
macro_rules! counter_set {
    ($(#[doc = $head:literal])+ $table:ident by $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+
    }) => {
        $(#[doc = $head])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name as operators see it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        #[doc = concat!("One counter for each [`", stringify!($name), "`].")]
        #[derive(Debug, Default)]
        pub struct $table([::core::sync::atomic::AtomicU64; $name::ALL.len()]);

        impl $table {
            /// Counts `n` of them.
            pub fn add(&self, which: $name, n: u64) {
                self.0[which as usize].fetch_add(n, ::core::sync::atomic::Ordering::Relaxed);
            }

            /// How many there were.
            #[must_use]
            pub fn get(&self, which: $name) -> u64 {
                self.0[which as usize].load(::core::sync::atomic::Ordering::Relaxed)
            }

            /// Names and values of all.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                $name::ALL.iter().map(|&which| (which.name(), self.get(which)))
            }

            /// Names and values of those that are not zero.
            pub fn nonzero(&self) -> impl Iterator<Item = (&'static str, u64)> {
                self.all().filter(|&(_, n)| n > 0)
            }
        }
    };
}
