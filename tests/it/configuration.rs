//! Documents that are generated from the schema of the configuration file: the tables of
//! `docs/configuration.md`, the example file, and the JSON schema for editors.

use friendlet::config::key::{Bound, Default, Form, Key, Kind, MEMORY_BYTES_MAX, Table};
use friendlet::config::schema::TABLES;
use friendlet::limits;
use friendlet::service::Scope;

use crate::support::generated::{check, check_file};

/// Longest comment line of the example file.
const COMMENT_CHARS: usize = 98;

#[test]
fn reference_page_has_every_key() {
    for table in TABLES {
        let rows: String = table.keys.iter().map(reference_row).collect();
        let text = format!("| key | value | default | description |\n|---|---|---|---|\n{rows}");
        check("docs/configuration.md", &format!("keys of {}", table.header), &text);
    }
}

#[test]
fn example_file_has_every_key() {
    check_file("examples/friendlet.toml", &example());
}

#[test]
fn json_schema_has_every_key() {
    check_file("examples/friendlet.schema.json", &json_schema());
}

fn reference_row(key: &Key) -> String {
    let cells = format!(
        "`{}` | {} | {} | {}",
        key.name,
        bar(&value(&key.kind)),
        bar(&default(key)),
        bar(key.doc.text())
    );
    format!("| {cells} |\n")
}

/// The text of a cell, in which a bar would end it.
fn bar(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Type and range in words.
fn value(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Integer { least, most } => format!("{} to {}", bound(*least), bound(*most)),
        Kind::Memory => format!("0 to {MEMORY_BYTES_MAX}"),
        Kind::Signed { least, most } => format!("{least} to {most}"),
        Kind::Date => "a date, or a date and time, UTC without an offset".to_owned(),
        Kind::Integers { entries, least, most } => {
            format!("list of up to {entries} numbers, each {least} to {most}")
        }
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::String(form) => form_in_words(form),
        Kind::List { most, entry } => {
            format!("list of up to {}, each {}", bound(*most), form_in_words(entry))
        }
        Kind::Command => format!(
            "list of a program and its arguments, up to {} entries and {} bytes",
            limit("service_arguments"),
            limit("service_argument_bytes")
        ),
        Kind::Variables => format!(
            "`{{ NAME = \"value\" }}`, up to {} entries and {} bytes as `NAME=value`",
            limit("service_variables"),
            limit("service_variable_bytes")
        ),
        Kind::Numbers(names) => {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("`{{ NAME = NUMBER }}` with the names {names}")
        }
        Kind::Table(table) => {
            let keys = table.keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ");
            format!("`{{ KEY = VALUE }}` with the keys {keys}")
        }
        Kind::Commands => format!(
            "`{{ NAME = \"SIGNAL\", NAME = {{ signal = \"SIGNAL\", scope = \"group\" }}, NAME = [\"PROGRAM\"] }}`, \
             up to {} names of up to {} bytes",
            limit("service_commands"),
            limit("service_name_bytes")
        ),
    }
}

fn form_in_words(form: &Form) -> String {
    let expected = if form.expected.is_empty() { "a string" } else { form.expected };
    if form.bytes.is_unbounded() {
        expected.to_owned()
    } else {
        format!("{expected}, up to {} bytes", bound(form.bytes))
    }
}

/// The name of a limit of the board, or the number.
fn bound(bound: Bound) -> String {
    bound.limit.map_or_else(|| bound.value.to_string(), |name| limit(&name.to_ascii_lowercase()))
}

fn limit(name: &str) -> String {
    assert!(limits::TABLE.iter().any(|(known, _)| *known == name), "{name} is not a limit of the board");
    format!("`{name}`")
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Required => "required".to_owned(),
        Default::Unset(words) | Default::Build(_, words) => words.text().to_owned(),
        Default::Integer(number) => number.to_string(),
        Default::Signed(number) => number.to_string(),
        _ => format!("`{}`", toml_default(key).unwrap_or_default()),
    }
}

/// The default as TOML, where it is the same in every build.
fn toml_default(key: &Key) -> Option<String> {
    match key.default {
        Default::Boolean(boolean) => Some(boolean.to_string()),
        Default::Integer(number) => Some(number.to_string()),
        Default::Signed(number) => Some(number.to_string()),
        Default::String(text) => Some(format!("\"{text}\"")),
        Default::Integers(numbers) => Some(format!("{numbers:?}")),
        Default::Empty if matches!(key.kind, Kind::List { .. }) => Some("[]".to_owned()),
        Default::Empty => Some("{}".to_owned()),
        Default::Required | Default::Unset(_) | Default::Build(..) => None,
    }
}

/// The example file: every key as a comment, at its default or with an example.
fn example() -> String {
    let mut text = "# Configuration file of friendlet: every key, at its default or with an example.\n\
                    #\n\
                    # A key is set by removing the \"#\" in front of it. Check a changed file with:\n\
                    # friendlet check FILE\n"
        .to_owned();
    for table in TABLES {
        text += &format!("\n{}", comment(table.doc.text()));
        // A table that may be repeated has keys that are required.
        text += &format!("{}{}\n", if table.is_repeated() { "#" } else { "" }, table.header);
        for key in table.keys {
            text += &comment(&example_comment(key));
            let value = key.example.map(str::to_owned).or_else(|| toml_default(key));
            let value = value.unwrap_or_else(|| panic!("{} {} needs an example", table.header, key.name));
            text += &format!("#{} = {value}\n", key.name);
        }
    }
    text
}

fn example_comment(key: &Key) -> String {
    let values = match &key.kind {
        Kind::Integer { .. } | Kind::Memory | Kind::Signed { .. } | Kind::Choice(_) => {
            format!(" Value: {}.", value(&key.kind))
        }
        _ => String::new(),
    };
    let default = match key.default {
        Default::Required => " Required.".to_owned(),
        _ if key.example.is_some() => format!(" Default: {}.", default(key)),
        _ => String::new(),
    };
    format!("{}{values}{default}", key.doc.text())
}

/// Comment lines of a text.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_CHARS {
            lines += &format!("{line}\n");
            line = "#".to_owned();
        }
        line += &format!(" {word}");
    }
    format!("{lines}{line}\n")
}

/// JSON schema (draft 7) of the file. The limits of a board are not in it: it is the same for all boards.
fn json_schema() -> String {
    let tables: Vec<_> = TABLES.iter().map(|table| json_table(table)).collect();
    format!(
        "{{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n  \
         \"title\": \"Configuration file of friendlet\",\n  \
         \"type\": \"object\",\n  \"additionalProperties\": false,\n  \"properties\": {{\n{}\n  }}\n}}\n",
        tables.join(",\n")
    )
}

fn json_table(table: &Table) -> String {
    let keys: Vec<_> = table.keys.iter().map(|key| format!("        {}", json_key(key))).collect();
    let required: Vec<_> = table
        .keys
        .iter()
        .filter(|key| matches!(key.default, Default::Required))
        .map(|key| json(key.name))
        .collect();
    let required = match required.len() {
        0 => String::new(),
        // A table that masks another one has no more than its name.
        2.. if table.key("enabled").is_some() => format!(
            "\"required\": [\"name\"], \"anyOf\": [{{ \"required\": [{}] }}, {{ \"required\": [\"enabled\"] }}], ",
            required.join(", ")
        ),
        _ => format!("\"required\": [{}], ", required.join(", ")),
    };
    let object = format!(
        "\"type\": \"object\", \"additionalProperties\": false, {required}\"properties\": {{\n{}\n      }}",
        keys.join(",\n")
    );
    let content =
        if table.is_repeated() { format!("\"type\": \"array\", \"items\": {{ {object} }}") } else { object };
    format!(
        "    {}: {{\n      \"description\": {},\n      {content}\n    }}",
        json(table.name),
        json(table.doc.text())
    )
}

fn json_key(key: &Key) -> String {
    let strings = r#""type": "array", "items": { "type": "string" }"#;
    let kind = match &key.kind {
        Kind::Boolean => r#""type": "boolean""#.to_owned(),
        Kind::Integer { least, most } => {
            let maximum = match most.limit {
                Some(_) => String::new(),
                None => format!(", \"maximum\": {}", most.value),
            };
            format!("\"type\": \"integer\", \"minimum\": {}{maximum}", least.value)
        }
        Kind::Memory => {
            format!("\"type\": \"integer\", \"minimum\": 0, \"maximum\": {MEMORY_BYTES_MAX}")
        }
        Kind::Signed { least, most } => {
            format!("\"type\": \"integer\", \"minimum\": {least}, \"maximum\": {most}")
        }
        Kind::Numbers(names) => {
            let number = |name: &&str| format!("{}: {{ \"type\": \"integer\", \"minimum\": 0 }}", json(name));
            let names = names.iter().map(number).collect::<Vec<_>>().join(", ");
            format!("\"type\": \"object\", \"additionalProperties\": false, \"properties\": {{ {names} }}")
        }
        Kind::Table(table) => {
            let keys: Vec<_> = table.keys.iter().map(json_key).collect();
            let keys = keys.join(", ");
            format!("\"type\": \"object\", \"additionalProperties\": false, \"properties\": {{ {keys} }}")
        }
        Kind::Integers { entries, least, most } => format!(
            "\"type\": \"array\", \"items\": {{ \"type\": \"integer\", \"minimum\": {least}, \"maximum\": {most} }}, \
             \"maxItems\": {entries}"
        ),
        Kind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|word| json(word)).collect();
            format!("\"type\": \"string\", \"enum\": [{}]", words.join(", "))
        }
        Kind::String(_) | Kind::Date => r#""type": "string""#.to_owned(),
        Kind::List { .. } => strings.to_owned(),
        Kind::Command => format!("{strings}, \"minItems\": 1"),
        Kind::Variables => r#""type": "object", "additionalProperties": { "type": "string" }"#.to_owned(),
        Kind::Commands => format!(
            "\"type\": \"object\", \"additionalProperties\": {{ \"anyOf\": [{{ \"type\": \"string\" }}, \
             {{ {strings}, \"minItems\": 1 }}, {} ] }}",
            json_scoped_signal()
        ),
    };
    // A TOML default of the schema is JSON as well.
    let default = toml_default(key).map_or_else(String::new, |default| format!(", \"default\": {default}"));
    format!("{}: {{ \"description\": {}, {kind}{default} }}", json(key.name), json(key.doc.text()))
}

/// A signal with its receivers.
fn json_scoped_signal() -> String {
    let scopes = Scope::ALL.map(|scope| json(scope.name())).join(", ");
    format!(
        "{{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"signal\"], \"properties\": \
         {{ \"signal\": {{ \"type\": \"string\" }}, \"scope\": {{ \"type\": \"string\", \"enum\": [{scopes}] }} }} }}"
    )
}

/// A string as JSON.
fn json(text: &str) -> String {
    assert!(!text.contains(char::is_control), "{text}");
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
