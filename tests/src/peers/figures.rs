//! A row of an upload, of which the client sends.

use anyhow::{Context, Result, ensure};

use crate::peers::rows::Row;

/// An upload: whether it is IPv6, and the port that it is sent to.
pub type Which = (bool, u16);

/// An upload's row, and who it is.
#[derive(Debug)]
pub struct Figures {
    /// Which upload.
    pub which: Which,
    /// What the row has.
    pub row: Row,
}

impl Figures {
    /// Those of a row.
    ///
    /// # Errors
    /// It lacks addresses.
    pub fn new(row: Row) -> Result<Self> {
        let address = row["client_ip"].as_str().context("a row has an address")?;
        let port = row["server_port"].as_u64().context("a row has a port")?;
        let which = (address.contains(':'), u16::try_from(port)?);
        Ok(Self { which, row })
    }

    /// A number; 0 if there is none.
    ///
    /// # Panics
    /// There is no such column.
    #[must_use]
    pub fn count(&self, column: &str) -> u64 {
        let value = self
            .row
            .get(column)
            .unwrap_or_else(|| panic!("no column {column}"));
        value.as_u64().unwrap_or(0)
    }

    /// What came a second time, or late, by whatever name.
    #[must_use]
    pub fn not_in_order(&self) -> u64 {
        let columns = [
            "retransmit_packets",
            "reordered_packets",
            "duplicate_packets",
        ];
        columns
            .iter()
            .map(|column| self.count(&format!("client_{column}")))
            .sum()
    }

    /// What is in the row that is neither 0 nor missing, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        let said = self
            .row
            .iter()
            .filter(|(_, value)| **value != 0 && !value.is_null());
        let said: Vec<_> = said
            .map(|(column, value)| format!("{column}: {value}"))
            .collect();
        format!("{:?}: {}", self.which, said.join(", "))
    }

    /// Fails unless a column has this value.
    ///
    /// # Errors
    /// It has another.
    pub fn has(&self, column: &str, expected: u64) -> Result<()> {
        let found = self.count(column);
        ensure!(
            found == expected,
            "{column} is {found}, not {expected}; {}",
            self.text()
        );
        Ok(())
    }
}
