//! Where an emulator's bytes are, and what each measure that keeps it small brings: the emulator as it ships,
//! against one that was built or packed without that measure.

use super::{Figure, Limit, ONE, Setting, plan_for};
use crate::compile::BuildInfo;
use crate::facts::hosts::XzFilter;
use crate::package;
use crate::process::capture;
use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _};
use std::fs;
use std::io::Write as _;
use std::process::Command;
use xz2::write::XzEncoder;

/// What is changed of the facts to do without a measure.
type Without = fn(&mut BuildInfo);

/// The measures that are taken while compiling and linking.
const MEASURES: [(&str, Without); 4] = [
    ("kept unused code", |build_info| build_info.ldflags.retain(|flag| flag != "-Wl,--gc-sections")),
    ("unwind tables", |build_info| build_info.cflags.retain(|flag| !flag.contains("unwind-tables"))),
    ("unwind tables of libraries", |build_info| build_info.link_script = None),
    ("relocations as they were", |build_info| build_info.ldflags.retain(|flag| !flag.contains("relocs"))),
];
/// A section smaller than this (bytes) is not worth a word.
const SMALL: u64 = 4096;
/// A window that holds a whole emulator.
const WIDE: u32 = 8 << 20;

/// Builds one emulator as it ships, and once without each measure.
pub fn measure(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let plan = plan_for(bench.session, &[ONE])?;
    let filter = plan.trees()[0].host().elf.xz_filter;
    bench.source()?;
    let tree = bench.tree(&plan)?;
    let build = |name: &str, without: Without| -> Result<Vec<u8>> {
        let mut build_info = BuildInfo::gather(&plan, &plan.trees()[0], &bench.toolchain);
        without(&mut build_info);
        let output = format!("qemu-{ONE}");
        let (folder, _) = bench.made(&tree, name, &plan, &build_info, std::slice::from_ref(&output))?;
        let mut strip = Command::new(&bench.toolchain.compilers.strip);
        strip.arg("--strip-all").arg(folder.join(&output));
        capture(strip)?;
        let bytes = fs::read(folder.join(output)).context("the emulator is gone")?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        Ok(bytes)
    };
    let ours = build("as-it-ships", |_| ())?;
    let size = packed(&ours, filter, package::WINDOW)?;
    let figure = |what: String, other: usize, from: String| Figure {
        what,
        value: size as f64 / other as f64,
        unit: "x",
        limit: Limit::AtMost(1.0),
        from,
        details: None,
    };
    let mut figures =
        vec![figure(format!("qemu-{ONE}, packed: {size} bytes"), size, sections(&ours, filter)?)];
    for (number, (name, without)) in MEASURES.into_iter().enumerate() {
        let other = packed(&build(&format!("without-{number}"), without)?, filter, package::WINDOW)?;
        figures.push(figure(format!("as it ships / with {name}"), other, format!("{other} bytes")));
    }
    let plain = packed(&ours, None, package::WINDOW)?;
    figures.push(figure("as it ships / without xz's filter".into(), plain, format!("{plain} bytes")));
    let wide = packed(&ours, filter, WIDE)?;
    figures.push(Figure {
        limit: Limit::AtMost(1.01),
        ..figure("as it ships / with a window of 8 MiB".into(), wide, format!("{wide} bytes"))
    });
    Ok(figures)
}

fn packed(bytes: &[u8], filter: Option<XzFilter>, window: u32) -> Result<usize> {
    let mut xz = XzEncoder::new_stream(Vec::new(), package::xz_with(filter, window)?);
    xz.write_all(bytes).context("xz cannot pack")?;
    Ok(xz.finish().context("xz cannot pack")?.len())
}

/// `.text 4076079 (1136204 packed), ...`, the largest first.
fn sections(emulator: &[u8], filter: Option<XzFilter>) -> Result<String> {
    let file = object::File::parse(emulator).context("the emulator is not an ELF file")?;
    let mut all = Vec::new();
    for section in
        file.sections().filter(|section| section.file_range().is_some_and(|(_, size)| size >= SMALL))
    {
        let data = section.data().context("a section cannot be read")?;
        all.push((
            data.len(),
            section.name().unwrap_or("?").to_owned(),
            packed(data, filter, package::WINDOW)?,
        ));
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    let one = |(size, name, packed): &(usize, String, usize)| format!("{name} {size} ({packed} packed)");
    Ok(all.iter().map(one).collect::<Vec<_>>().join(", "))
}
