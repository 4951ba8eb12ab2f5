//! Drawings of the page on the architecture, made from the table of layers and from that of a message's way.

use std::collections::BTreeMap;
use std::fs;

use crate::layers::{layers, root};
use crate::support::generated;

const PAGE: &str = "docs/architecture.md";
/// Width of a drawing in pixels.
const WIDTH: usize = 920;
/// Height of a row, and of a box in it.
const ROW: usize = 44;
const BOX: usize = 28;
/// The first and the last of the modules without input and output.
const SANS_IO: [&str; 2] = ["json", "connection"];

/// An SVG of this height.
fn svg(height: usize, title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn text(x: usize, y: usize, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"#1a1a1a\">{text}</text>\n")
}

/// Modules by the length of their longest chain of imports.
fn rows() -> Vec<Vec<String>> {
    let mut levels = BTreeMap::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (module, imports) in layers() {
        let level = imports.iter().map(|import| levels[import] + 1).max().unwrap_or(0);
        levels.insert(module.clone(), level);
        rows.resize(rows.len().max(level + 1), Vec::new());
        rows[level].push(module);
    }
    rows
}

#[test]
fn drawing_of_the_layers_is_that_of_the_table() {
    let order: Vec<String> = layers().into_iter().map(|(module, _)| module).collect();
    let place = |module: &str| order.iter().position(|other| other == module).unwrap();
    let [first, last] = SANS_IO.map(place);
    let rows = rows();
    let mut body = String::new();
    for (row, modules) in rows.iter().rev().enumerate() {
        let (y, cell) = (10 + row * ROW, WIDTH / modules.len().max(6));
        let left = (WIDTH - cell * modules.len()) / 2;
        for (column, module) in modules.iter().enumerate() {
            let x = left + column * cell;
            let is_pure = (first..=last).contains(&place(module));
            let fill = if is_pure { "#cfe3f7" } else { "#ececec" };
            body += &format!(
                "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{BOX}\" rx=\"4\" fill=\"{fill}\" stroke=\"#8a8a8a\"/>\n",
                x + 6,
                cell - 12
            );
            body += &text(x + cell / 2, y + 19, "middle", module);
        }
    }
    let end = 10 + rows.len() * ROW;
    let legend = "a module imports from rows below it alone; blue: no clock, no socket, no thread";
    body += &text(WIDTH / 2, end + 14, "middle", legend);
    generated::check_file("docs/layers.svg", &svg(end + 28, "Layers of friendlet", &body));
}

/// Steps of the way of one message: the module, and the first of its functions.
fn steps() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let (_, way) = page.split_once("## The way of one message\n").unwrap();
    let rows =
        way.lines().skip_while(|line| !line.starts_with("| 1 |")).take_while(|line| line.starts_with('|'));
    let code = |cell: &str| cell.split('`').nth(1).unwrap().to_owned();
    let step = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let module = code(cells[2]).split('/').next().unwrap().to_owned();
        (module, code(cells[1]))
    };
    rows.map(step).collect()
}

#[test]
fn drawing_of_a_call_is_that_of_the_table() {
    let steps = steps();
    assert!(steps.len() > 10, "{steps:?}");
    let mut lanes: Vec<&str> = Vec::new();
    for (module, _) in &steps {
        if !lanes.contains(&module.as_str()) {
            lanes.push(module);
        }
    }
    // The function of the last lane has its name to the right.
    let cell = WIDTH / (lanes.len() + 1);
    let x = |module: &str| 40 + cell * lanes.iter().position(|lane| *lane == module).unwrap();
    let y = |step: usize| 50 + step * 26;
    let end = y(steps.len());
    let mut body = String::new();
    for lane in &lanes {
        let x = x(lane);
        body += &format!("<path d=\"M{x} 28V{end}\" stroke=\"#d5d5d5\"/>\n");
        body += &text(x, 20, "middle", lane);
    }
    let points: Vec<String> =
        steps.iter().enumerate().map(|(at, (module, _))| format!("{},{}", x(module), y(at))).collect();
    body += &format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#2a6db0\" stroke-width=\"2\"/>\n",
        points.join(" ")
    );
    for (at, (module, function)) in steps.iter().enumerate() {
        let (x, y) = (x(module), y(at));
        body += &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"#2a6db0\"/>\n");
        // A border in the colour of the background keeps the name readable on the line.
        body += &format!(
            "<text x=\"{}\" y=\"{}\" fill=\"#1a1a1a\" stroke=\"#ffffff\" stroke-width=\"4\" \
             paint-order=\"stroke\">{} {function}</text>\n",
            x + 9,
            y + 4,
            at + 1
        );
    }
    generated::check_file("docs/call.svg", &svg(end + 10, "The way of one call through the modules", &body));
}
