//! Which static libraries a program's symbols came from.
//!
//! A linker leaves no note of the archives that it took members from, but it leaves their symbols. One counts
//! as a library's when that library alone defines its name, and it is of the same kind, as visible, and of
//! the same size as the library's: a function of QEMU's own that only has the same name would have to be just as
//! long. One such symbol is proof enough; a library whose every symbol was dropped again is not in the file.

use anyhow::{Context as _, Result, ensure};
use object::read::archive::ArchiveFile;
use object::{Architecture, File, Object as _, ObjectSymbol, SymbolFlags, SymbolKind, elf};
use std::collections::{BTreeSet, HashMap};

/// What is defined under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Definition {
    library: usize,
    kind: Kind,
    size: u64,
    /// In a program, what was hidden in an object is as local as what was static.
    is_local: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Data,
    Thread,
}

/// All that libraries define for others.
#[derive(Debug, Default)]
pub struct Definitions(HashMap<Vec<u8>, Vec<Definition>>);

impl Definitions {
    /// Takes in a static library, by a number of the caller's.
    pub fn add(&mut self, library: usize, archive: &[u8]) -> Result<()> {
        let file = ArchiveFile::parse(archive).context("it is not an archive")?;
        for member in file.members() {
            let member = member.context("it is truncated")?;
            let object = member.data(archive).context("it is truncated")?;
            // A member may be something else than an object; no linker takes it then.
            let Ok(object) = File::parse(object) else { continue };
            for symbol in object.symbols().filter(|symbol| symbol.is_global() && !symbol.is_weak()) {
                if let Some(definition) = Definition::of(&symbol, library) {
                    self.0.entry(symbol.name_bytes()?.to_vec()).or_default().push(definition);
                }
            }
        }
        Ok(())
    }

    /// The numbers of the libraries that a program was linked with.
    pub fn used_by(&self, program: &[u8]) -> Result<BTreeSet<usize>> {
        let file = File::parse(program).context("it is not an ELF file")?;
        ensure!(file.symbols().next().is_some(), "it has no symbols that show what was linked");
        // Their linkers shorten code when they know how far it jumps.
        let code_shrinks = matches!(file.architecture(), Architecture::Riscv64 | Architecture::LoongArch64);
        let mut used = BTreeSet::new();
        for symbol in file.symbols().filter(|symbol| !symbol.is_weak()) {
            let Some(definitions) = symbol.name_bytes().ok().and_then(|name| self.0.get(name)) else {
                continue;
            };
            let library = definitions[0].library;
            if definitions.iter().any(|one| one.library != library) {
                continue;
            }
            let Some(seen) = Definition::of(&symbol, library) else { continue };
            let any_size = code_shrinks && seen.kind == Kind::Code;
            let fits = |one: &Definition| {
                Definition { size: if any_size { seen.size } else { one.size }, ..*one } == seen
            };
            if definitions.iter().any(fits) {
                used.insert(library);
            }
        }
        Ok(used)
    }
}

impl Definition {
    /// What a symbol defines, if it is anything that has a size.
    fn of<'data>(symbol: &impl ObjectSymbol<'data>, library: usize) -> Option<Self> {
        let kind = match symbol.kind() {
            SymbolKind::Text => Kind::Code,
            SymbolKind::Data => Kind::Data,
            SymbolKind::Tls => Kind::Thread,
            _ => return None,
        };
        let is_hidden = match symbol.flags() {
            SymbolFlags::Elf { st_other, .. } => {
                matches!(st_other.visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL)
            }
            _ => false,
        };
        let has_place = symbol.is_definition() && !symbol.is_common() && symbol.size() > 0;
        has_place.then(|| Self {
            library,
            kind,
            size: symbol.size(),
            is_local: is_hidden || symbol.is_local(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn run(program: &str, home: &Path, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).current_dir(home).output().expect("run");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A library of one member for each source.
    fn library(home: &Path, name: &str, sources: &[&str]) -> Vec<u8> {
        let mut objects = Vec::new();
        for (number, source) in sources.iter().enumerate() {
            let file = format!("{name}-{number}.c");
            fs::write(home.join(&file), source).expect("written");
            run("gcc", home, &["-O1", "-ffunction-sections", "-c", &file]);
            objects.push(format!("{name}-{number}.o"));
        }
        let archive = format!("lib{name}.a");
        let words: Vec<&str> =
            ["rcs", &archive].into_iter().chain(objects.iter().map(String::as_str)).collect();
        run("ar", home, &words);
        fs::read(home.join(archive)).expect("read")
    }

    const USED: &str = "int used(int x) { return x * 3 + 1; }";
    const HIDDEN: &str = "__attribute__((visibility(\"hidden\"))) int hidden(int x) { return x * 5 + 2; }";
    const UNUSED: &str = "int unused(int x) { return x * 7 + 3; } int twin(int x) { return x / 3; }";
    /// It has a function of its own by the name that only a library has which is not linked.
    const MAIN: &str = "int used(int); int hidden(int); int twin(int x) { return x; }
        static __attribute__((noinline)) int lonely(int x) { return x ? x - 1 : 77; }
        void _start(void) { used(hidden(twin(lonely(1)))); for (;;); }";

    #[test]
    fn libraries_count_by_symbols_that_only_they_could_have_given() {
        let home = tempfile::tempdir().expect("a folder");
        let home = home.path();
        let libraries = [
            library(home, "used", &[USED, UNUSED]),
            library(home, "hidden", &[HIDDEN]),
            // Not told to the linker: the same names as in the program or another library, other things.
            library(
                home,
                "other",
                &["int twin(int x) { return x * x * x - 9; } int used(int x) { return 1; }"],
            ),
            library(home, "lonely", &["int lonely(int x) { return x ? x - 1 : 77; }", "int room;"]),
            library(home, "weak", &["__attribute__((weak)) int _start(void) { return 3; }"]),
        ];
        fs::write(home.join("main.c"), MAIN).expect("written");
        let link = [
            "-O1",
            "-static",
            "-nostdlib",
            "-Wl,--gc-sections",
            "-o",
            "main",
            "main.c",
            "libused.a",
            "libhidden.a",
        ];
        run("gcc", home, &link);
        let program = fs::read(home.join("main")).expect("read");

        let numbers = |known: &[usize]| {
            let mut definitions = Definitions::default();
            for number in known {
                definitions.add(*number, &libraries[*number]).expect("read");
            }
            definitions.used_by(&program).expect("read").into_iter().collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[0, 1, 3, 4]), [0, 1]);
        assert_eq!(numbers(&[2]), [] as [usize; 0], "the same names, but other sizes");
        assert_eq!(numbers(&[0, 1, 2, 3, 4]), [1], "a name that two have proves nothing");

        run("strip", home, &["main"]);
        let stripped = fs::read(home.join("main")).expect("read");
        let error = Definitions::default().used_by(&stripped).expect_err("no symbols").to_string();
        assert!(error.contains("no symbols"), "{error}");
        assert!(Definitions::default().add(0, b"no archive").is_err());
    }
}
