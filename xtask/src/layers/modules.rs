//! How the top-level modules of a library or program use each other, by the paths in their source.
//!
//! The root file is not part of the graph: it may use every module. What it re-exports by name counts as
//! part of the module that the name comes from. Code that is compiled for tests only is left out.

use std::{
    collections::BTreeMap,
    fs, mem,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, File, Item, ItemMod, ItemUse, Macro, Meta, MetaList, Token, UseTree,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::graph::Graph;

/// The graph of the library or program whose root file is `root`, a path from `checkout`.
pub(crate) fn graph(checkout: &Path, root: &Path) -> Result<Graph> {
    let items = parse(checkout, root)?.items;
    let compiled: Vec<_> = items.iter().filter(|item| !is_test(item)).collect();
    let mut reader = Reader {
        checkout,
        file: root.to_owned(),
        submodules: root.parent().map(Path::to_owned).unwrap_or_default(),
        module: Vec::new(),
        owners: BTreeMap::new(),
        graph: Graph::default(),
    };
    // First every name at the root: a module may use one that is declared after it.
    for item in &compiled {
        if let Item::Mod(item) = item {
            let name = item.ident.to_string();
            reader.graph.add_node(&name);
            reader.owners.insert(name.clone(), name);
        }
    }
    for item in &compiled {
        if let Item::Use(item) = item {
            reader.export(item);
        }
    }
    for item in compiled {
        if let Item::Mod(item) = item {
            reader.read(item)?;
        }
    }
    Ok(reader.graph)
}

/// Reads modules, file after file, and notes which top-level modules their paths lead to.
struct Reader<'a> {
    checkout: &'a Path,
    /// The file being read, from the checkout.
    file: PathBuf,
    /// The directory with the files of the current module's submodules, from the checkout.
    submodules: PathBuf,
    /// The path of the current module from the root.
    module: Vec<String>,
    /// The names at the root, each with the top-level module it belongs to.
    owners: BTreeMap<String, String>,
    graph: Graph,
}

impl Reader<'_> {
    /// Notes what the root re-exports by name.
    fn export(&mut self, item: &ItemUse) {
        for Leaf { path, name } in leaves(&item.tree) {
            let mut path = path.into_iter().map(Ident::to_string);
            let first = path.find(|name| name != "crate" && name != "self");
            let owner = first.and_then(|first| self.owners.get(&first)).cloned();
            if let (Some(owner), Some(name)) = (owner, name) {
                self.owners.entry(name.to_string()).or_insert(owner);
            }
        }
    }

    /// Reads a module and its submodules.
    fn read(&mut self, item: &ItemMod) -> Result<()> {
        let name = item.ident.to_string();
        let inside = self.submodules.join(&name);
        let outside = mem::replace(&mut self.submodules, inside);
        self.module.push(name);
        match &item.content {
            Some((_, items)) => self.read_items(items)?,
            None => {
                let candidates = [
                    self.submodules.with_extension("rs"),
                    self.submodules.join("mod.rs"),
                ];
                let mut candidates = candidates.into_iter();
                let file = candidates
                    .find(|file| self.checkout.join(file).exists())
                    .ok_or_else(|| {
                        let place = self.place(&item.ident);
                        anyhow!("{place}: there is no file of the module `{}`", item.ident)
                    })?;
                let items = parse(self.checkout, &file)?.items;
                let outer = mem::replace(&mut self.file, file);
                self.read_items(&items)?;
                self.file = outer;
            }
        }
        self.module.pop();
        self.submodules = outside;
        Ok(())
    }

    fn read_items(&mut self, items: &[Item]) -> Result<()> {
        for item in items.iter().filter(|item| !is_test(item)) {
            if let Item::Mod(item) = item {
                self.read(item)?;
            } else {
                self.visit_item(item);
            }
        }
        Ok(())
    }

    /// Notes a path, when it leads to another top-level module.
    fn note<'a>(&mut self, path: impl IntoIterator<Item = &'a Ident>) {
        let mut path = path.into_iter().peekable();
        let mut depth = self.module.len();
        let mut relative = false;
        while let Some(step) =
            path.next_if(|name| ["crate", "self", "super"].iter().any(|step| *name == step))
        {
            depth = match step.to_string().as_str() {
                "crate" => 0,
                "super" => depth.saturating_sub(1),
                _ => depth,
            };
            relative = true;
        }
        // Without one of these steps a path begins with another crate or with what a `use` has named.
        let Some(name) = path.next().filter(|_| relative && depth == 0) else {
            return;
        };
        let user = self.module[0].clone();
        match self.owners.get(&name.to_string()).cloned() {
            Some(used) if used != user => {
                let place = self.place(name);
                self.graph.add_edge(&user, &used, place);
            }
            _ => {}
        }
    }

    /// Notes the paths in tokens that only a macro understands.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.note(&mem::take(&mut path));
                    }
                    path.push(name);
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
            }
        }
        self.note(&path);
    }

    /// Where a name is, as file and line.
    fn place(&self, name: &Ident) -> String {
        format!("{}:{}", self.file.display(), name.span().start().line)
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for leaf in leaves(&item.tree) {
            self.note(leaf.path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note(path.segments.iter().map(|segment| &segment.ident));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.note_tokens(item.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.note_tokens(list.tokens.clone());
    }
}

/// One of the names that a `use` brings in.
struct Leaf<'a> {
    /// The path that it is found at, its own name included.
    path: Vec<&'a Ident>,
    /// What it is called from then on; `None` for `*`.
    name: Option<&'a Ident>,
}

fn leaves(tree: &UseTree) -> Vec<Leaf<'_>> {
    match tree {
        UseTree::Path(tree) => {
            let mut leaves = leaves(&tree.tree);
            for leaf in &mut leaves {
                leaf.path.insert(0, &tree.ident);
            }
            leaves
        }
        UseTree::Name(tree) => vec![Leaf {
            path: vec![&tree.ident],
            name: Some(&tree.ident),
        }],
        UseTree::Rename(tree) => vec![Leaf {
            path: vec![&tree.ident],
            name: Some(&tree.rename),
        }],
        UseTree::Glob(_) => vec![Leaf {
            path: Vec::new(),
            name: None,
        }],
        UseTree::Group(tree) => tree.items.iter().flat_map(leaves).collect(),
    }
}

fn parse(checkout: &Path, file: &Path) -> Result<File> {
    let text = fs::read_to_string(checkout.join(file))
        .with_context(|| format!("reading {}", file.display()))?;
    syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))
}

/// Whether an item is compiled for tests only.
fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::TraitAlias(_) | Item::Verbatim(_) | _ => &[],
    };
    let mut conditions = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.any(|condition| condition.parse_args().is_ok_and(|meta| needs_test(&meta)))
}

/// Whether a condition holds only where `test` does.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|parts| parts.iter().any(needs_test)),
        Meta::List(_) | Meta::NameValue(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// The graph of a library of these files.
    fn graph_of(files: &[(&str, &str)]) -> Result<Graph> {
        let dir = TempDir::new()?;
        for (name, text) in files {
            let file = dir.path().join("src").join(name);
            fs::create_dir_all(file.parent().unwrap())?;
            fs::write(file, text)?;
        }
        graph(dir.path(), Path::new("src/lib.rs"))
    }

    /// The edges from `a` to `b` and from `b` to `a`, by their places.
    fn places(files: &[(&str, &str)]) -> [Option<String>; 2] {
        let graph = graph_of(files).unwrap();
        [("a", "b"), ("b", "a")].map(|(from, to)| graph.place(from, to).map(str::to_owned))
    }

    const BOTH: (&str, &str) = ("lib.rs", "mod a;\nmod b;\n");

    #[test]
    fn an_import_is_an_edge_and_two_can_be_a_circle() {
        let files = [
            BOTH,
            ("a.rs", "\nuse crate::b::Thing;\n"),
            ("b/mod.rs", "use std::fs;\nmod inner;\n"),
            (
                "b/inner.rs",
                "pub struct Inner {\n    thing: crate::a::Thing,\n}\n",
            ),
        ];
        let [forth, back] = [Some("src/a.rs:2".into()), Some("src/b/inner.rs:2".into())];
        assert_eq!(places(&files), [forth, back]);
        assert_eq!(graph_of(&files).unwrap().knots().len(), 1);
        assert_eq!(
            graph_of(&files[..3]).unwrap_err().to_string(),
            "src/b/mod.rs:2: there is no file of the module `inner`"
        );
    }

    #[test]
    fn each_way_to_name_a_module_is_seen() {
        for text in [
            "use crate::{c, b};",
            "use crate::{c::{C}, b::{self, B as D}};",
            "use super::b;",
            "use self::super::b::*;",
            "mod inner { use super::super::b; }",
            "mod inner { fn f() { super::super::b::f(); } }",
            "fn f() -> Vec<crate::b::B> { Vec::new() }",
            "fn f() { println!(\"{}\", crate::b::f()); }",
            "fn f() { select! { x = g(&crate::b::B) => {} } }",
            "crate::b::make!();",
            "#[arg(value_parser = crate::b::parse)] struct A;",
            "use crate::Exported;",
            "use crate::Renamed;",
        ] {
            let lib = "mod a;\nmod b;\nmod c;\npub use b::{Exported, B as Renamed};\n";
            let files = [("lib.rs", lib), ("a.rs", text), ("b.rs", ""), ("c.rs", "")];
            let place = Some("src/a.rs:1".to_owned());
            assert_eq!(places(&files), [place, None], "{text}");
        }
    }

    #[test]
    fn what_leads_to_no_other_module_is_no_edge() {
        for text in [
            "use b::B;",
            "use crate::a::inner; mod inner {}",
            "mod b {} use self::b::B;",
            "mod inner { use super::b; }",
            "pub(crate) fn f() { b::f(); }",
            "use crate::Own;",
            "fn f() { g!(x: b::B) }",
            "// use crate::b;\nconst A: &str = \"crate::b\";",
        ] {
            let files = [BOTH, ("a.rs", text), ("b.rs", "")];
            assert_eq!(places(&files), [None, None], "{text}");
        }
    }

    #[test]
    fn tests_are_left_out() {
        for text in [
            "#[cfg(test)]\nmod tests;",
            "#[cfg(test)]\nmod tests { use crate::b; }",
            "#[cfg(test)]\nuse crate::b;",
            "#[cfg(all(test, unix))]\nfn f() { crate::b::f(); }",
        ] {
            let files = [BOTH, ("a.rs", text), ("b.rs", "")];
            assert_eq!(places(&files), [None, None], "{text}");
        }
        let files = [
            BOTH,
            ("a.rs", "#[cfg(not(test))]\nuse crate::b;"),
            ("b.rs", ""),
        ];
        assert_eq!(places(&files), [Some("src/a.rs:2".to_owned()), None]);
    }

    #[test]
    fn a_file_that_does_not_parse_is_named() {
        let error = graph_of(&[("lib.rs", "mod a;"), ("a.rs", "fn {")]).unwrap_err();
        assert_eq!(error.to_string(), "parsing src/a.rs");
    }
}
