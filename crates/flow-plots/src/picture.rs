//! A picture that can be written.

use flow_stats::Row;

use crate::{drawing::draw, frame::WIDE, page::page, subject::Subject};

/// A connection that can be drawn.
#[derive(Debug, Clone)]
pub struct Picture(pub(crate) Subject);

impl Picture {
    pub(crate) fn of(subject: Subject) -> Self {
        Self(subject)
    }

    /// The figures of the connection, which the picture agrees with.
    #[must_use]
    pub fn row(&self) -> &Row {
        &self.0.row
    }

    /// Its name, which the picture then shows.
    pub fn set_uuid(&mut self, uuid: Option<String>) {
        self.0.row.uuid = uuid;
    }

    /// The picture as an SVG file: at most two megabytes.
    #[must_use]
    pub fn svg(&self) -> String {
        draw(&self.0, WIDE)
    }

    /// The picture as an HTML page that needs nothing else: at most two megabytes. It has a second picture for
    /// narrow screens. On screens it shows the values under the pointer, and a part of a graph that is marked
    /// with it.
    #[must_use]
    pub fn html(&self) -> String {
        page(&self.0)
    }
}
