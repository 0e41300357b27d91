//! What of an object goes into the daemon: everything but what only debuggers read.

use anyhow::{Context as _, Result};
use object::{
    build::elf::{Builder, Section, SectionData},
    elf::SHT_STRTAB,
};

/// What a section of DWARF is called, and one of relocations for it.
const DEBUG: [&[u8]; 2] = [b".debug_", b".rel.debug_"];
/// Relocations for a linker: offsets into a section are there already, and loaders read none of these.
const FOR_LINKERS: &[u8] = b".rel.BTF.ext";

/// An object without its DWARF; programs, maps, BTF and licence stay as they are.
pub(super) fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("reading the object of the kernel programs")?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        if DEBUG.iter().any(|debug| name.starts_with(debug)) || name == FOR_LINKERS {
            section.delete = true;
        }
    }
    builder.delete_orphans();
    // LLVM has one table of names for sections and symbols, the library one for each.
    let named = |section: &Section<'_>| matches!(section.data, SectionData::SectionString);
    if !builder.sections.iter().any(named) {
        let names = builder.sections.add();
        names.name = ".shstrtab".into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    builder.set_section_sizes();
    let mut stripped = Vec::new();
    builder
        .write(&mut stripped)
        .context("writing the object of the kernel programs")?;
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use object::elf::SHT_PROGBITS;

    use super::*;

    static OBJECT: &[u8] = include_bytes!("../../../packet-headers/programs/packet-headers-ebpf.o");

    /// The object with a section more.
    fn with(name: &'static str) -> Vec<u8> {
        let mut builder = Builder::read(OBJECT).unwrap();
        let section = builder.sections.add();
        section.name = name.into();
        section.sh_type = SHT_PROGBITS;
        section.data = SectionData::Data(b"of no use to a kernel".as_slice().into());
        builder.set_section_sizes();
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_only_debuggers_and_linkers_read_is_left_out() {
        for name in [".debug_info", ".rel.debug_info", ".rel.BTF.ext"] {
            let whole = with(name);
            assert_ne!(whole, OBJECT);
            assert_eq!(strip(&whole).unwrap(), OBJECT, "{name}");
        }
    }

    #[test]
    fn what_a_loader_reads_stays() {
        let names = [
            ".BTF",
            ".BTF.ext",
            ".rel.BTF",
            ".maps",
            "license",
            "classifier",
            ".relclassifier",
        ];
        let stripped = strip(OBJECT).unwrap();
        assert_eq!(stripped, OBJECT);
        let builder = Builder::read(stripped.as_slice()).unwrap();
        for name in names {
            let there = |section: &Section<'_>| section.name.as_slice() == name.as_bytes();
            assert!(builder.sections.iter().any(there), "{name}");
        }
        assert_ne!(strip(&with("classifier/more")).unwrap(), OBJECT);
    }
}
