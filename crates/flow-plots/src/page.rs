//! The HTML page: a picture for wide screens and paper, one for narrow screens, and a table.

use crate::{
    drawing::draw,
    facts::{kind, table, title},
    frame::{NARROW, WIDE},
    subject::Subject,
    svg::Escaped,
};

/// How the page looks, and what it does under a pointer.
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(crate) fn page(subject: &Subject) -> String {
    let (wide, narrow) = (draw(subject, WIDE), draw(subject, NARROW));
    let title = Escaped(&title(&subject.row)).to_string();
    let kind = kind(&subject.row);
    let rows = table(&subject.row)
        .into_iter()
        .map(|(what, [client, server])| {
            format!("<tr><th scope=\"row\">{what}</th><td>{client}</td><td>{server}</td></tr>\n")
        });
    let rows: String = rows.collect();
    // Whatever a browser is told, it may load nothing.
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{kind} {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <div class=\"wide\">\n{wide}</div>\n<div class=\"narrow\">\n{narrow}</div>\n\
         <table>\n<thead><tr><th></th><th scope=\"col\">client</th><th scope=\"col\">server</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n<output hidden></output>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}
