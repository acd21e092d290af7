//! The table of all shaders: its rows, its text, and its comparison with the one in the repository.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::assembly::{longest_loop, whole};
use crate::driver::Compiled;

/// Columns before the shader's label: their names and widths.
const COLUMNS: [(&str, usize); 11] = [
    ("instr", 6),
    ("vgpr", 5),
    ("sgpr", 5),
    ("spill", 6),
    ("scratch", 8),
    ("lds", 6),
    ("waves", 6),
    ("buffer", 7),
    ("loop:vector", 12),
    ("lds", 5),
    ("buffer", 7),
];

const EXPLANATION: &str = "\
# Machine code of every shader that training and separation launch, by `cargo xtask bench isa --bless`.
# instr: instructions; vgpr, sgpr: registers; spill: spilled registers; scratch: bytes for one wave; lds: bytes of
# workgroup memory; waves: per SIMD; buffer: loads and stores of buffers. Loop: of the innermost loop with the most
# vector instructions, its vector instructions, and those on workgroup memory and on buffers.
";

/// What the compiler made of a shader, in the order of [`COLUMNS`]. A shader without a loop has zeros in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row([u64; COLUMNS.len()]);

impl Row {
    pub(crate) fn of(compiled: &Compiled) -> Result<Self> {
        let number = |name| compiled.statistic(name);
        let inner = longest_loop(&compiled.assembly).unwrap_or_default();
        Ok(Self([
            number("Instructions")?,
            number("VGPRs")?,
            number("SGPRs")?,
            number("Spilled VGPRs")? + number("Spilled SGPRs")?,
            number("Scratch size")?,
            number("LDS size")?,
            number("Subgroups per SIMD")?,
            whole(&compiled.assembly).buffer.into(),
            inner.vector.into(),
            inner.workgroup.into(),
            inner.buffer.into(),
        ]))
    }

    fn instructions(&self) -> u64 {
        self.0[0]
    }

    /// Whether registers or arrays lie in memory.
    fn spills(&self) -> bool {
        self.0[3] > 0 || self.0[4] > 0
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cells = self.0.iter().zip(COLUMNS);
        cells.try_for_each(|(number, (_, width))| write!(f, "{number:>width$}"))
    }
}

/// The rows of all shaders by label, and the compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// The version of Mesa: `25.0.7`.
    pub(crate) mesa: String,
    /// The GPU: `navi31`.
    pub(crate) family: String,
    pub(crate) rows: BTreeMap<String, Row>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {} Mesa {}\n{EXPLANATION}#", self.family, self.mesa)?;
        let names = COLUMNS.iter().map(|(name, width)| format!("{name:>width$}")).collect::<String>();
        // The mark of a comment replaces a space.
        writeln!(f, "#{}  shader", &names[1..])?;
        self.rows.iter().try_for_each(|(label, row)| writeln!(f, "{row}  {label}"))
    }
}

impl Table {
    /// Reads what `Display` wrote.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut first = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let (family, mesa) = (first.next(), first.nth(1));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let row = |line: &str| {
            let (numbers, label) = line.split_at_checked(COLUMNS.iter().map(|(_, width)| width).sum())?;
            let numbers: Option<Vec<u64>> =
                numbers.split_whitespace().map(|word| word.parse().ok()).collect();
            Some((label.trim().to_owned(), Row(numbers?.try_into().ok()?)))
        };
        let rows = lines.map(|line| row(line).with_context(|| format!("no row of the table: {line}")));
        let rows: BTreeMap<_, _> = rows.collect::<Result<_>>()?;
        ensure!(!rows.is_empty(), "the table is empty");
        Ok(Self {
            mesa: mesa.context("the table names no version of Mesa")?.into(),
            family: family.context("the table names no GPU")?.into(),
            rows,
        })
    }

    /// The shaders of this table that spill.
    pub(crate) fn spilling(&self) -> Vec<String> {
        let spilling = self.rows.iter().filter(|(_, row)| row.spills());
        spilling
            .map(|(label, row)| format!("spills registers or uses scratch memory: {label}:{row}"))
            .collect()
    }
}

/// The differences between the table of the repository and that of the present shaders.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// More instructions, and shaders that only one of the tables has.
    pub(crate) worse: Vec<String>,
    /// All other differences.
    pub(crate) other: Vec<String>,
}

impl Differences {
    pub(crate) fn between(known: &Table, now: &Table) -> Self {
        let mut differences = Self::default();
        for (label, row) in &now.rows {
            let Some(old) = known.rows.get(label) else {
                differences.worse.push(format!("is not in the table: {label}"));
                continue;
            };
            let line = || format!("{label}:\n  table{old}\n  now  {row}");
            if row.instructions() > old.instructions() {
                differences.worse.push(format!("has more instructions: {}", line()));
            } else if row != old {
                differences.other.push(line());
            }
        }
        let gone = known.rows.keys().filter(|label| !now.rows.contains_key(*label));
        differences.worse.extend(gone.map(|label| format!("is no longer launched: {label}")));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, [u64; 5])]) -> Table {
        let row = |[a, b, c, d, e]: [u64; 5]| Row([a, b, c, d, e, 4096, 16, 7, 100, 2, 0]);
        let rows = rows.iter().map(|(label, numbers)| ((*label).to_owned(), row(*numbers)));
        Table { mesa: "25.0.7".into(), family: "navi31".into(), rows: rows.collect() }
    }

    #[test]
    fn a_written_table_is_read_as_it_was() {
        let table = table(&[("a/b f32 X=1", [9, 1, 2, 0, 0]), ("c f16 Y=22", [123_456, 256, 128, 0, 16])]);
        assert_eq!(Table::read(&table.to_string()).unwrap(), table);
        assert!(
            Table::read("# navi31 Mesa 25\n").is_err() && Table::read("# navi31 Mesa 25\n 1 2 x\n").is_err()
        );
    }

    #[test]
    fn more_instructions_and_other_shaders_are_worse() {
        let known = table(&[("a", [9, 1, 2, 0, 0]), ("b", [9, 1, 2, 0, 0]), ("c", [9, 1, 2, 0, 0])]);
        let now = table(&[("a", [10, 1, 2, 0, 0]), ("b", [8, 1, 2, 0, 0]), ("d", [9, 1, 2, 0, 0])]);
        let Differences { worse, other } = Differences::between(&known, &now);
        let begins = |lines: &[String], starts: &[&str]| {
            lines.len() == starts.len()
                && lines.iter().zip(starts).all(|(line, start)| line.starts_with(start))
        };
        assert!(begins(
            &worse,
            &["has more instructions: a", "is not in the table: d", "is no longer launched: c"]
        ));
        assert!(begins(&other, &["b:"]), "{other:?}");
        assert_eq!(Differences::between(&known, &known), Differences::default());
    }

    #[test]
    fn spills_and_scratch_are_found() {
        let table = table(&[("a", [9, 1, 2, 0, 0]), ("b", [9, 1, 2, 3, 0]), ("c", [9, 1, 2, 0, 16])]);
        assert_eq!(table.spilling().len(), 2);
    }
}
