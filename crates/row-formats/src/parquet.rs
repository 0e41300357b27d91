//! Parquet (parquet.apache.org), compressed with zstd. Times are in microseconds, as Spark and BigQuery
//! read no finer ones.

use std::io::Write;
use std::mem;
use std::sync::Arc;

use flow_stats::{COLUMNS, Column, Kind, Row, Value};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

pub use parquet::errors::ParquetError;

/// How many rows are in a group. Writing takes memory for one.
const GROUP: usize = 16_384;

/// How many are in a microsecond.
const NANOSECONDS: i64 = 1_000;

/// Writes rows.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Values>,
    rows: usize,
}

/// The values of a column in a group: those that are there, and for each row whether it has one.
struct Values {
    is_there: Vec<i16>,
    values: Typed,
}

enum Typed {
    Text(Vec<ByteArray>),
    Flags(Vec<bool>),
    Numbers(Vec<i64>),
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file. `program` is the one that writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, program: &str) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(program.to_owned())
            .build();
        let file = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
        let columns = COLUMNS.iter().map(Values::new).collect();
        Ok(Self {
            file,
            columns,
            rows: 0,
        })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, row: &Row) -> Result<()> {
        self.put_values(row.values())
    }

    /// Writes a row whose values these are: those of all columns, in order.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_values<'a>(&mut self, values: impl Iterator<Item = Value<'a>>) -> Result<()> {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.put(value);
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.end_group()?;
        }
        Ok(())
    }

    /// Completes the file, and gives back what it was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<W> {
        if self.rows > 0 {
            self.end_group()?;
        }
        self.file.into_inner()
    }

    fn end_group(&mut self) -> Result<()> {
        self.rows = 0;
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else {
                break;
            };
            column.write(writer.untyped())?;
            writer.close()?;
        }
        group.close().map(drop)
    }
}

impl Values {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Typed::Text(Vec::new()),
            Kind::Flag => Typed::Flags(Vec::new()),
            Kind::Count | Kind::Time => Typed::Numbers(Vec::new()),
        };
        Self {
            is_there: Vec::new(),
            values,
        }
    }

    fn put(&mut self, value: Value<'_>) {
        let is_there = value != Value::Absent;
        match (&mut self.values, value) {
            (Typed::Text(all), Value::Text(text)) => {
                all.push(text.into_owned().into_bytes().into());
            }
            (Typed::Flags(all), Value::Flag(flag)) => all.push(flag),
            (Typed::Numbers(all), Value::Count(count)) => {
                all.push(count.try_into().unwrap_or(i64::MAX));
            }
            (Typed::Numbers(all), Value::Time(time)) => all.push(time.div_euclid(NANOSECONDS)),
            (_, value) => debug_assert_eq!(value, Value::Absent, "the kind of its column"),
        }
        self.is_there.push(is_there.into());
    }

    /// Writes and empties it.
    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<()> {
        let is_there = mem::take(&mut self.is_there);
        // Where every row has to have a value, there are no levels; those given are not looked at.
        let levels = Some(&is_there[..]);
        match (&mut self.values, writer) {
            (Typed::Text(all), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(&mem::take(all), levels, None)?;
            }
            (Typed::Flags(all), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(&mem::take(all), levels, None)?;
            }
            (Typed::Numbers(all), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(&mem::take(all), levels, None)?;
            }
            _ => debug_assert!(false, "the schema is of the same columns"),
        }
        Ok(())
    }
}

fn schema() -> Result<TypePtr> {
    let fields = COLUMNS.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Flag => (Physical::BOOLEAN, None),
            Kind::Count => (Physical::INT64, None),
            Kind::Time => (Physical::INT64, Some(time())),
        };
        let repetition = if column.optional {
            Repetition::OPTIONAL
        } else {
            Repetition::REQUIRED
        };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition);
        field.build().map(Arc::new)
    });
    let fields = fields.collect::<Result<_>>()?;
    Type::group_type_builder("row")
        .with_fields(fields)
        .build()
        .map(Arc::new)
}

fn time() -> LogicalType {
    let is_utc = true;
    LogicalType::timestamp(is_utc, TimeUnit::MICROS)
}
