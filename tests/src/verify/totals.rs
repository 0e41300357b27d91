//! What the kernel knew of a connection, as the end of its pcapng file says it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{format, pcapng};

/// The values by their names.
pub type Totals = HashMap<String, u64>;

/// The totals in the end of a pcapng file, which says there at most whose it was beside them; nothing if it has
/// none.
///
/// # Errors
/// The file, or what is in its end, cannot be read.
pub fn in_file(file: &Path) -> Result<Option<Totals>> {
    let section = pcapng::parse(&format::contents(file)?)?;
    let (_, last) = section.statistics.last().context("no statistics")?;
    let is_owner = |comment: &&String| comment.starts_with("owner.");
    let others: Vec<_> = last.comments.iter().filter(|it| !is_owner(it)).collect();
    let [comment] = others[..] else {
        ensure!(others.is_empty(), "{last:?}");
        return Ok(None);
    };
    let field = |word: &str| -> Result<(String, u64)> {
        let field = word.strip_prefix("kernel.");
        let (name, value) = field
            .and_then(|field| field.split_once('='))
            .with_context(|| format!("{word} in {comment}"))?;
        Ok((name.to_owned(), value.parse()?))
    };
    comment
        .split(' ')
        .map(field)
        .collect::<Result<_>>()
        .map(Some)
}
