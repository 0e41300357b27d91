//! Sets of counters with one counter for each value of an enum.

/// Declares a set of counters, one for each value of an enum whose values have names for operators.
/// Also declares the enum, unless it exists.
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
    ($(#[doc = $head:literal])+ $set:ident by $name:ident {
        $($(#[doc = $doc:literal])+ $value:ident = $text:literal,)+
    }) => {
        $crate::named_enum! {
            $(#[doc = $head])+
            pub enum $name {
                $($(#[doc = $doc])+ $value = $text,)+
            }
        }

        $crate::counter_set!($set by $name);
    };
    ($set:ident by $name:ident) => {
        #[doc = concat!("One counter for each [`", stringify!($name), "`].")]
        #[derive(Debug, Default)]
        pub struct $set([$crate::Count; $name::COUNT]);

        impl $set {
            /// Adds `n` to a counter.
            pub fn add(&self, which: $name, n: u64) {
                self.0[which.index()].add(n);
            }

            /// The value of a counter.
            #[must_use]
            pub fn get(&self, which: $name) -> u64 {
                self.0[which.index()].get()
            }

            /// The names and values of all counters.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                $name::ALL.iter().map(|&which| (which.name(), self.get(which)))
            }

            /// The names and values of the counters that are not zero.
            pub fn nonzero(&self) -> impl Iterator<Item = (&'static str, u64)> {
                self.all().filter(|&(_, n)| n > 0)
            }
        }
    };
}
