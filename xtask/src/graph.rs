//! A small directed graph of names, with its circles.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
};

/// Who uses whom. Each edge remembers one place, such as `src/main.rs:7`, that makes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    edges: BTreeMap<String, BTreeMap<String, String>>,
}

impl Graph {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Adds a node; does nothing when it is there.
    pub(crate) fn add_node(&mut self, name: &str) {
        self.edges.entry(name.to_owned()).or_default();
    }

    /// Adds an edge and its nodes. The first place of an edge is kept.
    pub(crate) fn add_edge(&mut self, from: &str, to: &str, place: String) {
        self.add_node(to);
        let targets = self.edges.entry(from.to_owned()).or_default();
        targets.entry(to.to_owned()).or_insert(place);
    }

    /// The place that makes the edge; `None` when there is no such edge.
    pub(crate) fn place(&self, from: &str, to: &str) -> Option<&str> {
        Some(self.edges.get(from)?.get(to)?)
    }

    /// The strongly connected components of two or more nodes: whose members all use each other, directly
    /// or by way of others.
    pub(crate) fn knots(&self) -> Vec<BTreeSet<&str>> {
        // There are dozens of nodes, so that a search from each of them is quick enough.
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .edges
            .keys()
            .map(|node| (node.as_str(), self.search(node).into_keys().collect()))
            .collect();
        let mut knots = BTreeSet::new();
        for (node, others) in &reached {
            let knot: BTreeSet<&str> = others
                .iter()
                .copied()
                .filter(|other| reached[other].contains(node))
                .collect();
            if knot.len() > 1 {
                knots.insert(knot);
            }
        }
        knots.into_iter().collect()
    }

    /// A shortest circle through `start`, as its edges; empty when there is none.
    pub(crate) fn circle<'a>(&'a self, start: &'a str) -> Vec<(&'a str, &'a str)> {
        let before = self.search(start);
        let mut circle = Vec::new();
        let mut to = start;
        while let Some(from) = before.get(to).copied() {
            circle.push((from, to));
            if from == start {
                break;
            }
            to = from;
        }
        circle.reverse();
        circle
    }

    /// The nodes that can be reached from `start` by one edge or more, each with the node before it on a
    /// shortest way there.
    fn search<'a>(&'a self, start: &'a str) -> BTreeMap<&'a str, &'a str> {
        let mut before = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in self.edges.get(node).into_iter().flat_map(BTreeMap::keys) {
                if !before.contains_key(next.as_str()) {
                    before.insert(next.as_str(), node);
                    queue.push_back(next);
                }
            }
        }
        before
    }

    /// The graph as the text of a Mermaid diagram.
    pub(crate) fn mermaid(&self) -> String {
        // Mermaid takes some words, such as `end`, for its own, even as part of a name with hyphens.
        let id = |name: &str| name.replace('-', "_");
        let mut text = String::from("graph TD\n");
        for (from, targets) in &self.edges {
            // Writing to a string cannot fail.
            if targets.is_empty() || id(from) != *from {
                let _ok = writeln!(text, "    {}[{from}]", id(from));
            }
            for to in targets.keys() {
                let _ok = writeln!(text, "    {} --> {}", id(from), id(to));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.add_edge(from, to, format!("{from}.rs:1"));
        }
        graph
    }

    #[test]
    fn a_graph_without_circles_has_no_knots() {
        let graph = graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]);
        assert!(graph.knots().is_empty());
        assert!(graph.circle("a").is_empty());
    }

    #[test]
    fn each_knot_is_found_once_and_whole() {
        let graph = graph(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("c", "d"),
            ("d", "e"),
            ("e", "d"),
            ("e", "f"),
        ]);
        let knots = [BTreeSet::from(["a", "b", "c"]), BTreeSet::from(["d", "e"])];
        assert_eq!(graph.knots(), knots);
    }

    #[test]
    fn a_circle_is_a_shortest_one() {
        let graph = graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("c", "a")]);
        assert_eq!(graph.circle("a"), [("a", "b"), ("b", "c"), ("c", "a")]);
        assert_eq!(
            graph.circle("d"),
            [("d", "a"), ("a", "b"), ("b", "c"), ("c", "d")]
        );
    }

    #[test]
    fn an_edge_keeps_its_first_place() {
        let mut graph = graph(&[("a", "b")]);
        graph.add_edge("a", "b", "a.rs:2".to_owned());
        assert_eq!(graph.place("a", "b"), Some("a.rs:1"));
        assert_eq!(graph.place("b", "a"), None);
    }

    #[test]
    fn mermaid_names_every_node() {
        let mut graph = graph(&[("front-end", "b"), ("c", "b")]);
        graph.add_node("alone");
        let lines = [
            "graph TD",
            "    alone[alone]",
            "    b[b]",
            "    c --> b",
            "    front_end[front-end]",
            "    front_end --> b",
        ];
        assert_eq!(graph.mermaid().lines().collect::<Vec<_>>(), lines);
    }
}
