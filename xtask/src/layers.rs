//! The layers of the program: which crate may depend on which, and that no module depends on itself by
//! way of others.

mod crates;
mod modules;

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Result, bail};

pub(crate) use crate::layers::crates::{
    DAEMON, HARNESS, KERNEL_PROGRAMS, KERNEL_TESTS, PURE, reserved,
};
use crate::{
    graph::Graph,
    packages::{self, Package},
    workspace::Workspace,
};

/// The graphs of a checkout.
struct Layers {
    packages: Vec<Package>,
    /// The top-level modules of each library and program, under its title.
    modules: Vec<(String, Graph)>,
}

impl Layers {
    fn read(workspace: &Workspace) -> Result<Self> {
        let packages = packages::read(workspace)?;
        let mut modules = Vec::new();
        for package in &packages {
            for source in &package.sources {
                let graph = modules::graph(&workspace.root, &source.root)?;
                if !graph.is_empty() {
                    modules.push((source.to_string(), graph));
                }
            }
        }
        Ok(Self { packages, modules })
    }

    /// What breaks the layers, a line or more for each breach.
    fn breaches(&self) -> Vec<String> {
        let mut breaches = crates::breaches(&self.packages);
        for (name, graph) in &self.modules {
            breaches.extend(circles(name, graph));
        }
        breaches
    }
}

/// Checks that crates depend on each other only as they may, and modules not in circles; the error names
/// every breach.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let breaches = Layers::read(workspace)?.breaches();
    if !breaches.is_empty() {
        bail!("the layers are broken:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

/// Prints the graphs as Markdown with Mermaid diagrams, each with the knots in it.
pub(crate) fn print(workspace: &Workspace) -> Result<()> {
    let layers = Layers::read(workspace)?;
    print!("{}", section("crates", &crates::graph(&layers.packages)));
    for (name, graph) in &layers.modules {
        print!("\n{}", section(&format!("modules of the {name}"), graph));
    }
    Ok(())
}

/// A graph under a heading.
fn section(title: &str, graph: &Graph) -> String {
    let mut text = format!("## {title}\n\n```mermaid\n{}```\n\n", graph.mermaid());
    let knots = graph.knots();
    if knots.is_empty() {
        text.push_str("Circles: none.\n");
    }
    for knot in knots {
        let members: Vec<_> = knot.into_iter().collect();
        // Writing to a string cannot fail.
        let _ok = writeln!(
            text,
            "Circles among {}: {}.",
            members.len(),
            members.join(", ")
        );
    }
    text
}

/// The knots of a graph of modules, each with a circle in it and an import for each of its edges.
fn circles(target: &str, graph: &Graph) -> Vec<String> {
    let describe = |knot: BTreeSet<&str>| {
        let circle = knot
            .iter()
            .map(|module| graph.circle(module))
            .min_by_key(Vec::len)
            .unwrap_or_default();
        let edges: Vec<_> = circle
            .into_iter()
            .map(|(from, to)| {
                let place = graph.place(from, to).unwrap_or_default();
                format!("{from} uses {to}: {place}")
            })
            .collect();
        let members: Vec<_> = knot.into_iter().collect();
        format!(
            "modules of the {target} depend on each other in circles: {}. One circle:\n    {}",
            members.join(", "),
            edges.join("\n    ")
        )
    };
    graph.knots().into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_described_by_an_import_for_each_edge() {
        let mut graph = Graph::default();
        graph.add_edge("flow", "store", "src/flow.rs:3".to_owned());
        graph.add_edge("store", "flow", "src/store/name.rs:12".to_owned());
        graph.add_edge("run", "flow", "src/run.rs:1".to_owned());
        let expected = "modules of the library daemon depend on each other in circles: flow, store. One circle:\n    \
                        flow uses store: src/flow.rs:3\n    \
                        store uses flow: src/store/name.rs:12";
        assert_eq!(circles("library daemon", &graph), [expected]);
    }

    #[test]
    fn a_section_counts_its_knots() {
        let mut graph = Graph::default();
        graph.add_edge("a", "b", String::new());
        assert!(section("crates", &graph).ends_with("```\n\nCircles: none.\n"));
        graph.add_edge("b", "a", String::new());
        assert!(section("crates", &graph).ends_with("```\n\nCircles among 2: a, b.\n"));
    }
}
