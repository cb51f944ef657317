//! Machine code: header, sections, and the function or object that a difference lies in.

use super::{Difference, bytes};
use object::{
    Architecture, File, Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SymbolKind,
};

/// A section, as far as it is compared.
struct Section<'a> {
    name: &'a str,
    address: u64,
    size: u64,
    align: u64,
    flags: SectionFlags,
    /// Nothing for what takes no room in the file.
    data: &'a [u8],
}

/// The first difference between two ELF files; `None` if they are not ELF files or differ in nothing that has
/// a name. `linked` is the newer one with its symbols.
pub fn difference(old: &[u8], new: &[u8], linked: Option<&[u8]>) -> Option<Difference> {
    let (old, new) = (File::parse(old).ok()?, File::parse(new).ok()?);
    let (old_sections, new_sections) = (sections(&old)?, sections(&new)?);
    kind(&old, &new)
        .or_else(|| lists(&old_sections, &new_sections))
        .or_else(|| contents(&old_sections, &new_sections, linked))
        .or_else(|| old_sections.iter().zip(&new_sections).find_map(|(old, new)| headers(old, new)))
        .or_else(|| entry(&old, &new))
}

fn sections<'a>(file: &File<'a>) -> Option<Vec<Section<'a>>> {
    let section = |section: object::Section<'a, '_>| {
        Some(Section {
            name: section.name().ok()?,
            address: section.address(),
            size: section.size(),
            align: section.align(),
            flags: section.flags(),
            data: section.data().ok()?,
        })
    };
    file.sections().map(section).collect()
}

/// What the whole file is for.
fn kind(old: &File<'_>, new: &File<'_>) -> Option<Difference> {
    let facts = |file: &File<'_>| {
        [
            ("machine", format!("{:?}", file.architecture())),
            ("bits", if file.is_64() { "64".to_owned() } else { "32".to_owned() }),
            ("byte order", format!("{:?}", file.endianness())),
            ("type", format!("{:?}", file.kind())),
            ("flags", format!("{:?}", file.flags())),
        ]
    };
    let found = facts(old).into_iter().zip(facts(new)).find(|(old, new)| old != new);
    found.map(|((what, old), (_, new))| Difference::new(what, old, new).inside("ELF header"))
}

/// The entry point moves with the code, so it is only told when nothing else is.
fn entry(old: &File<'_>, new: &File<'_>) -> Option<Difference> {
    let (old, new) = (old.entry(), new.entry());
    (old != new)
        .then(|| Difference::new("entry", format!("{old:#x}"), format!("{new:#x}")).inside("ELF header"))
}

/// Sections that only one file has, or that come in another order.
fn lists(old: &[Section<'_>], new: &[Section<'_>]) -> Option<Difference> {
    let name = |sections: &[Section<'_>], number: usize| {
        sections.get(number).map_or_else(|| "none".to_owned(), |section| section.name.to_owned())
    };
    let number = (0..old.len().max(new.len())).find(|number| name(old, *number) != name(new, *number))?;
    Some(Difference::new(format!("section {}", number + 1), name(old, number), name(new, number)))
}

/// The first section, in the file's order, whose bytes differ.
fn contents(old: &[Section<'_>], new: &[Section<'_>], linked: Option<&[u8]>) -> Option<Difference> {
    let differing: Vec<(&Section<'_>, &Section<'_>)> =
        old.iter().zip(new).filter(|(old, new)| old.data != new.data).collect();
    let (first_old, first_new) = differing.first()?;
    let offset = bytes::first_difference(first_old.data, first_new.data);
    let symbol = linked.and_then(|linked| symbol_at(linked, first_new, first_new.address + offset as u64));
    let symbol = symbol.map(|symbol| format!(" ({symbol})")).unwrap_or_default();
    let found = Difference::new(
        format!("{} + {offset:#x}{symbol}", first_new.name),
        bytes::hex(first_old.data, offset),
        bytes::hex(first_new.data, offset),
    );
    // Addresses in other sections follow from one that grew, so all of them are a hint.
    let named = |(old, new): &(&Section<'_>, &Section<'_>)| match old.size == new.size {
        true => new.name.to_owned(),
        false => format!("{} ({:#x} | {:#x} bytes)", new.name, old.size, new.size),
    };
    let all: Vec<String> = differing.iter().map(named).collect();
    Some(found.noting(format!("sections that differ: {}", all.join(" "))))
}

fn headers(old: &Section<'_>, new: &Section<'_>) -> Option<Difference> {
    let facts = |section: &Section<'_>| {
        [
            ("size", format!("{:#x}", section.size)),
            ("address", format!("{:#x}", section.address)),
            ("alignment", section.align.to_string()),
            ("flags", format!("{:?}", section.flags)),
        ]
    };
    let found = facts(old).into_iter().zip(facts(new)).find(|(old, new)| old != new);
    let name = new.name;
    found.map(|((what, old), (_, new))| Difference::new(what, old, new).inside(name))
}

/// The function or object at an address, as `name + 0x10`: the last that begins there or before, in that
/// section.
fn symbol_at(linked: &[u8], section: &Section<'_>, address: u64) -> Option<String> {
    let file = File::parse(linked).ok()?;
    // The lowest bit of a function's address says that it is in ARM's 16-bit instructions.
    let thumb = file.architecture() == Architecture::Arm;
    let begin = |symbol: &object::Symbol<'_, '_>| match symbol.kind() {
        SymbolKind::Text if thumb => symbol.address() & !1,
        _ => symbol.address(),
    };
    let has_name = |symbol: &object::Symbol<'_, '_>| {
        symbol.is_definition() && matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data)
    };
    let inside = |symbol: &object::Symbol<'_, '_>| (section.address..=address).contains(&begin(symbol));
    // Of several at one place the same is taken each time: a global one, the first by name.
    let order = |symbol: &object::Symbol<'_, '_>| {
        (begin(symbol), symbol.is_global(), std::cmp::Reverse(symbol.name().unwrap_or_default().to_owned()))
    };
    let found = file.symbols().filter(|symbol| has_name(symbol) && inside(symbol)).max_by_key(order)?;
    let name = found.name().ok()?;
    match address - begin(&found) {
        0 => Some(name.to_owned()),
        offset => Some(format!("{name} + {offset:#x}")),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    /// A program with its symbols, and without.
    fn program(home: &Path, source: &str, options: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let (text, linked, stripped) = (home.join("a.c"), home.join("a"), home.join("a.stripped"));
        std::fs::write(&text, source).expect("written");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-static", "-nostdlib", "-Wl,--build-id=none"]).args(options);
        assert!(gcc.arg("-o").arg(&linked).arg(&text).status().expect("gcc").success());
        let mut strip = Command::new("strip");
        assert!(strip.arg("-o").arg(&stripped).arg(&linked).status().expect("strip").success());
        (std::fs::read(linked).expect("read"), std::fs::read(stripped).expect("read"))
    }

    const PLAIN: &str = "const char usage[] = \"0123456789abcdefghijkl\"; int room[8] = {1}; int zero[4];
        int twice(int x) { return 2 * x; } void _start(void) { room[0] = twice(usage[zero[0]]); for (;;); }";

    #[test]
    fn planted_differences_are_named_by_section_and_symbol() {
        let home = tempfile::tempdir().expect("a folder");
        let (_, old) = program(home.path(), PLAIN, &[]);
        // What is changed, where that must be seen, and what else must be said.
        let cases: [(&str, &str, &str, &str); 4] = [
            ("9abc", "9aXc", ".rodata + 0xb (usage + 0xb): 37 38 39 61 [62] 63", "differ: .rodata"),
            ("room[8] = {1}", "room[8] = {1, 2}", ".data + 0x4 (room + 0x4)", "differ: .data"),
            ("2 * x", "2 * x + 5", " (twice", ".text"),
            ("int zero[4]", "int zero[9]", ".bss > size: 0x10 | 0x28", ""),
        ];
        for (before, after, place, also) in cases {
            let (linked, new) = program(home.path(), &PLAIN.replace(before, after), &[]);
            let found = difference(&old, &new, Some(&linked)).expect("a difference").to_string();
            assert!(found.contains(place) && found.contains(also), "{after}: {found}");
        }
        let more = PLAIN.to_owned() + " __attribute__((section(\".more\"), used)) int more = 3;";
        let (_, new) = program(home.path(), &more, &[]);
        let found = difference(&old, &new, None).expect("a difference").to_string();
        assert!(found.starts_with("section ") && found.contains(".more"), "{found}");
        assert_eq!(difference(&old, &old, None), None);
    }

    #[test]
    fn without_symbols_a_place_has_its_section_only() {
        let home = tempfile::tempdir().expect("a folder");
        let (_, old) = program(home.path(), PLAIN, &[]);
        let (_, new) = program(home.path(), &PLAIN.replace("9abc", "9aXc"), &[]);
        let found = difference(&old, &new, None).expect("a difference");
        assert_eq!(found.place, ".rodata + 0xb");
    }

    #[test]
    fn a_file_for_another_machine_or_of_another_kind_is_told_before_its_bytes() {
        let home = tempfile::tempdir().expect("a folder");
        let (_, old) = program(home.path(), PLAIN, &["-no-pie"]);
        let (_, new) = program(home.path(), PLAIN, &["-static-pie", "-fPIE"]);
        let found = difference(&old, &new, None).expect("a difference").to_string();
        assert!(found.starts_with("ELF header > type: "), "{found}");
        let mut arm = old.clone();
        arm[18] = 183; // e_machine
        let found = difference(&old, &arm, None).expect("a difference").to_string();
        assert!(found.starts_with("ELF header > machine: X86_64 | Aarch64"), "{found}");
    }
}
