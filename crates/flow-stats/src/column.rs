//! What a column is, and the values in it.

use std::{borrow::Cow, net::IpAddr};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, UTF-8.
    Text,
    /// True or false.
    Flag,
    /// A number from 0 to `i64::MAX`.
    Count,
    /// A time: nanoseconds since 1970, UTC.
    Time,
}

/// A column of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, which ends in the unit where that is not a number of things.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether a row may have no value there.
    pub optional: bool,
    /// What it says.
    pub definition: &'static str,
    /// Where the definition is from, and what others call it.
    pub source: &'static str,
}

impl Column {
    /// The unit, as its name says.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::Flag => "",
            Kind::Time => "UTC",
            Kind::Count => match self.name.rsplit('_').next() {
                Some("us") => "µs",
                Some("bytes") => "bytes",
                Some("bps") => "bit/s",
                _ => "",
            },
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// There is none: it cannot be known.
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// True or false.
    Flag(bool),
    /// A number.
    Count(u64),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
}

/// A time as text: RFC 3339 in UTC, to the microsecond, which is what BigQuery reads.
#[must_use]
pub fn time_text(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => format!("{time:.6}"),
        // All that 64 bits can say are in reach.
        Err(_) => nanoseconds.to_string(),
    }
}

/// The time that [`time_text`] has made a text of, in nanoseconds since 1970, to the microsecond.
#[must_use]
pub fn time_of_text(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    time.as_nanosecond().try_into().ok()
}

/// A number or a flag as itself, a time as in [`time_text`].
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Time(time) => serializer.serialize_str(&time_text(*time)),
        }
    }
}

/// A time in a row: nanoseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// What a field of a row may be.
pub(crate) trait Cell {
    const KIND: Kind;
    const OPTIONAL: bool = false;
    fn value(&self) -> Value<'_>;
}

macro_rules! cells {
    ($($type:ty: $kind:ident, $value:expr;)+) => {
        $(impl Cell for $type {
            const KIND: Kind = Kind::$kind;
            fn value(&self) -> Value<'_> {
                let value: fn(&$type) -> Value<'_> = $value;
                value(self)
            }
        })+
    };
}

cells! {
    String: Text, |text| Value::Text(Cow::Borrowed(text));
    IpAddr: Text, |address| Value::Text(Cow::Owned(address.to_string()));
    bool: Flag, |flag| Value::Flag(*flag);
    u64: Count, |count| Value::Count((*count).min(i64::MAX.unsigned_abs()));
    u32: Count, |count| Value::Count((*count).into());
    u16: Count, |count| Value::Count((*count).into());
    u8: Count, |count| Value::Count((*count).into());
    Time: Time, |time| Value::Time(time.0);
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Absent, Cell::value)
    }
}

/// An enum whose values are words, for rows.
macro_rules! words {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word, as rows have it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::column::Cell for $name {
            const KIND: $crate::column::Kind = $crate::column::Kind::Text;
            fn value(&self) -> $crate::column::Value<'_> {
                $crate::column::Value::Text(self.word().into())
            }
        }
    };
}
pub(crate) use words;

/// A struct whose fields are columns, and the list of them: the same fields in the same order.
///
/// The documentation of a field is its column's definition; behind the type stands the source. With
/// `prefixes`, the struct is part of a row several times, and there is a list for each prefix.
macro_rules! columns {
    (
        $(#[$attribute:meta])*
        $name:ident [$($list:ident: $prefix:literal),+] {
            $($(#[doc = $definition:literal])+ $field:ident: $type:ty, $source:literal;)+
        }
        $(with { $($(#[$part_doc:meta])* $part:ident: $part_type:ty,)+ })?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $definition])+ pub $field: $type,)+
            $($($(#[$part_doc])* pub $part: $part_type,)+)?
        }

        $crate::column::columns!(@lists [$($list: $prefix),+] $name
            $(($field, $type, concat!($($definition),+), $source))+);

        impl $name {
            /// How many columns its own fields are.
            pub(crate) const WIDTH: usize = [$(stringify!($field)),+].len();

            /// The values of its own fields, in order.
            pub(crate) fn own_values(&self) -> [$crate::column::Value<'_>; Self::WIDTH] {
                [$($crate::column::Cell::value(&self.$field)),+]
            }
        }
    };
    (@lists [$list:ident: $prefix:literal $(, $more:ident: $more_prefix:literal)*] $name:ident $($field:tt)+) => {
        pub(crate) const $list: [$crate::column::Column; $name::WIDTH] =
            [$($crate::column::columns!(@column $prefix $field)),+];
        $crate::column::columns!(@lists [$($more: $more_prefix),*] $name $($field)+);
    };
    (@lists [] $name:ident $($field:tt)+) => {};
    (@column $prefix:literal ($field:ident, $type:ty, $definition:expr, $source:literal)) => {
        $crate::column::Column {
            name: concat!($prefix, stringify!($field)),
            kind: <$type as $crate::column::Cell>::KIND,
            optional: <$type as $crate::column::Cell>::OPTIONAL,
            definition: str::trim_ascii($definition),
            source: $source,
        }
    };
}
pub(crate) use columns;
