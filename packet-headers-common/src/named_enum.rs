//! Enums whose values have a name and a slot: what is counted, and why.

/// Defines an enum whose values each have a name for operators and an index into an array of
/// counters. Each is written once, so none can be missing from `ALL`, or lack a name.
///
/// ```
/// packet_headers_common::named_enum! {
///     /// Why a letter came back.
///     pub enum Returned {
///         /// Nobody of that name lives there.
///         UnknownName = "unknown_name",
///         /// There is no such street.
///         UnknownStreet = "unknown_street",
///     }
/// }
/// assert_eq!(Returned::COUNT, 2);
/// assert_eq!(Returned::ALL[1], Returned::UnknownStreet);
/// assert_eq!(Returned::UnknownStreet.index(), 1);
/// assert_eq!(Returned::UnknownStreet.name(), "unknown_street");
/// ```
#[macro_export]
macro_rules! named_enum {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident {
        $($(#[$value_attribute:meta])* $value:ident = $text:literal,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $($(#[$value_attribute])* $value,)+
        }

        impl $name {
            /// Every value, in the order of [`Self::index`].
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// How many values there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The value's slot in an array of [`Self::COUNT`] counters.
            #[inline(always)]
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The value's name as operators see it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}
