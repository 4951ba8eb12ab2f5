//! The plot: bars of the counts, plain and TLS, as SVG.

use std::fmt::Write as _;

use super::measure::{Row, Side};

const WIDTH: f64 = 900.0;
/// Left end of all bars, and length of the longest.
const LEFT: f64 = 170.0;
const LONGEST: f64 = 620.0;
const BAR: f64 = 9.0;
const ROW: f64 = 26.0;
const TITLE: f64 = 44.0;
/// Colours of plain text and TLS, of different lightness.
const COLOURS: [&str; 2] = ["#2f6f9f", "#c8803a"];

/// A figure of one side, for one panel.
type Figure<'a> = dyn Fn(&Side) -> f64 + 'a;

/// All panels.
pub(super) fn svg(rows: &[Row]) -> String {
    let panels: [(&str, usize, &Figure<'_>); 3] = [
        ("instructions per message", 0, &|side| side.instructions),
        ("system calls per message", 1, &|side| side.system_calls),
        ("bytes per idle connection, its slot among them", 0, &|side| {
            side.slot + side.growth.per_connection()
        }),
    ];
    let height = panels.len() as f64 * (TITLE + rows.len() as f64 * ROW) + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (index, (name, colour)) in ["plain", "TLS"].iter().zip(COLOURS).enumerate() {
        let x = LEFT + index as f64 * 80.0;
        let _ = writeln!(text, "<rect x=\"{x}\" y=\"10\" width=\"12\" height=\"{BAR}\" fill=\"{colour}\"/>");
        let _ = writeln!(text, "<text x=\"{}\" y=\"19\">{name}</text>", x + 18.0);
    }
    let mut y = 30.0;
    for (title, digits, figure) in panels {
        panel(&mut text, y, title, digits, rows, figure);
        y += TITLE + rows.len() as f64 * ROW;
    }
    text + "</svg>\n"
}

fn panel(text: &mut String, top: f64, title: &str, digits: usize, rows: &[Row], figure: &Figure<'_>) {
    let _ = writeln!(text, "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 24.0);
    let finite = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let values = rows.iter().flat_map(|row| row.sides.iter().map(figure));
    let largest = values.map(finite).fold(f64::MIN_POSITIVE, f64::max);
    for (index, row) in rows.iter().enumerate() {
        let y = top + 34.0 + index as f64 * ROW;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 13.0,
            row.peer.name
        );
        for (index, (side, colour)) in row.sides.iter().zip(COLOURS).enumerate() {
            let value = figure(side);
            let length = finite(value) / largest * LONGEST;
            let y = y + index as f64 * (BAR + 1.0);
            let _ = writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{value:.digits$}</text>",
                LEFT + length + 5.0,
                y + BAR - 0.5,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peer::FRIENDLET;

    #[test]
    fn the_longest_bar_is_the_largest_figure() {
        let sides = [50.0, 100.0].map(|instructions| Side { instructions, ..Side::default() });
        let rows = [Row { peer: &FRIENDLET, sizes: [0, 0], sides: sides.to_vec() }];
        let mut text = String::new();
        panel(&mut text, 0.0, "instructions", 0, &rows, &|side| side.instructions);
        assert!(text.contains("width=\"310.0\"") && text.contains("width=\"620.0\""), "{text}");
        assert_eq!(svg(&rows).matches("font-weight").count(), 3);
        // A figure that is missing makes no bar that a reader could not draw.
        assert!(!svg(&rows).contains("width=\"NaN\""));
    }
}
