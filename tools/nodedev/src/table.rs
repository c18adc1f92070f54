// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tables that fit the terminal.

use unicode_width::UnicodeWidthStr;

use crate::output::{HEADER, line, safe, styled_out, width};

/// The gap between two columns.
const GAP: usize = 2;

/// The smallest width to which a column is cut.
const NARROWEST: usize = 12;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The header, as `-o` accepts it.
    pub name: &'static str,
    /// Columns of rank 0 are always printed. The others are printed while they fit, the lowest rank first.
    pub rank: u8,
}

/// A table. A cell without a value is `None`, which is printed as `-`.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Returns an empty table with these columns.
    pub fn new(columns: &[Column]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column.
    pub fn row(&mut self, cells: Vec<Option<String>>) {
        let cells = cells.into_iter().map(|cell| cell.map(|text| safe(&text)).filter(|text| !text.is_empty()));
        self.rows.push(cells.collect());
    }

    /// Prints the table. `cut` shortens cells so that the table fits the terminal.
    pub fn print(mut self, header: bool, cut: bool) {
        let limit = width().filter(|_| cut);
        if let Some(limit) = limit {
            self.drop_columns(limit);
        }
        let mut widths = self.widths();
        if let Some(limit) = limit {
            narrow(&mut widths, limit);
        }
        if header {
            let names = self.columns.iter().map(|column| Some(column.name.to_owned())).collect::<Vec<_>>();
            line(&styled_out(&joined(&names, &widths), HEADER));
        }
        for row in &self.rows {
            line(&joined(row, &widths));
        }
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<Option<String>>, i: usize| row.get(i).and_then(Option::as_deref).unwrap_or("-").width();
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(i, column)| self.rows.iter().map(|row| cell(row, i)).fold(column.name.width(), usize::max))
            .collect()
    }

    /// Removes optional columns, the highest rank first, until the table fits. An optional column without any value goes first.
    fn drop_columns(&mut self, limit: usize) {
        loop {
            let widths = self.widths();
            if total(&widths) <= limit {
                return;
            }
            let is_empty = |i: usize| self.rows.iter().all(|row| row.get(i).is_none_or(Option::is_none));
            let optional = self.columns.iter().enumerate().filter(|(_, column)| column.rank > 0);
            let Some((i, _)) = optional.max_by_key(|(i, column)| (is_empty(*i), column.rank)) else { return };
            self.columns.remove(i);
            for row in self.rows.iter_mut().filter(|row| i < row.len()) {
                row.remove(i);
            }
        }
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Narrows the widest columns, one character at a time, until the table fits or no column can be narrowed.
fn narrow(widths: &mut [usize], limit: usize) {
    while total(widths) > limit {
        match widths.iter_mut().max().filter(|widest| **widest > NARROWEST) {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

fn joined(cells: &[Option<String>], widths: &[usize]) -> String {
    let mut text = String::new();
    for (i, cell) in cells.iter().enumerate() {
        let width = widths.get(i).copied().unwrap_or_default();
        let cell = cut_middle(cell.as_deref().unwrap_or("-"), width);
        text.push_str(&cell);
        if i + 1 < cells.len() {
            text.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
        }
    }
    text
}

/// Cuts a text in its middle, where names of nodes are most similar: `mdev_c9e0...86_00_0`.
fn cut_middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let mut cut: String = chars.iter().take(head).collect();
    cut.push('…');
    cut.extend(chars.iter().skip(chars.len() - tail));
    cut
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { name: "NAME", rank: 0 },
        Column { name: "TYPE", rank: 0 },
        Column { name: "OWNER", rank: 1 },
        Column { name: "UUID", rank: 2 },
    ];

    fn table() -> Table {
        let mut table = Table::new(&COLUMNS);
        let uuid = "c9e0b3f1-0000-4000-8000-000000000001";
        table.row(vec![Some("my-vgpu".into()), Some("11".into()), None, Some(uuid.into())]);
        table
    }

    #[test]
    fn table_that_is_too_wide_loses_empty_columns_first() {
        let mut table = table();
        table.drop_columns(54);
        let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(names, ["NAME", "TYPE", "UUID"]);
        table.drop_columns(20);
        assert_eq!(table.columns.len(), 2);
        assert_eq!(table.rows.first().unwrap().len(), 2);
    }

    #[test]
    fn long_name_is_cut_in_its_middle() {
        assert_eq!(cut_middle("mdev_c9e0b3f1_0000_86_00_0", 13), "mdev_c…6_00_0");
        assert_eq!(cut_middle("short", 13), "short");
    }

    #[test]
    fn widest_column_is_narrowed_first() {
        let mut widths = [40, 10, 20];
        narrow(&mut widths, 50);
        assert_eq!(widths, [18, 10, 18]);
    }
}
