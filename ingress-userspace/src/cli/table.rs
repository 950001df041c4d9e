//! Columns and quantities as people read them.

use std::io::{self, Write};

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.iter().map(|name| (*name).to_uppercase()).collect()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        // What objects say must not break the line or command the terminal.
        let cells = cells.map(|cell| cell.replace(|c: char| c.is_control(), " "));
        self.rows.push(cells.into());
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `4.2 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `2d 3h`, the two largest units.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(at) = units.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let (size, name) = units[at];
    let rest = units.get(at + 1).map(|(next, name)| (seconds % size / next, name));
    match rest {
        Some((rest, next)) if rest > 0 => format!("{}{name} {rest}{next}", seconds / size),
        Some(_) | None => format!("{}{name}", seconds / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in
            [(0.3, "0s"), (59.0, "59s"), (60.0, "1m"), (3725.0, "1h 2m"), (90_000.0, "1d 1h")]
        {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_control_characters_removed() {
        let mut table = Table::new(["a", "long"]);
        table.row(["wide\u{1b}[2J".to_owned(), "x\ny".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A         LONG\nwide [2J  x y\n");
    }
}
