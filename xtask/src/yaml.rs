//! YAML as JSON values, with the merge keys (`<<: *anchor`) that compose files use.
//! Never knows what a file means.

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

const MERGE: &str = "<<";

/// Reads the only document of a text.
pub(crate) fn read(text: &str) -> anyhow::Result<Value> {
    let documents = YamlLoader::load_from_str(text)?;
    match documents.as_slice() {
        [document] => value(document),
        documents => bail!("{} documents where one is wanted", documents.len()),
    }
}

fn value(yaml: &Yaml) -> anyhow::Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(boolean) => (*boolean).into(),
        Yaml::Integer(integer) => (*integer).into(),
        Yaml::Real(text) => text.parse::<f64>()?.into(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Array(items) => Value::Array(items.iter().map(value).collect::<anyhow::Result<_>>()?),
        Yaml::Hash(fields) => {
            let mut merged = Map::new();
            let mut own = Map::new();
            for (key, field) in fields {
                let key = key.as_str().context("a key is a text")?;
                match value(field)? {
                    Value::Object(fields) if key == MERGE => merged.extend(fields),
                    field => {
                        own.insert(key.to_owned(), field);
                    }
                }
            }
            // What stands there itself wins, wherever the merge key stands.
            merged.extend(own);
            Value::Object(merged)
        }
        Yaml::Alias(_) | Yaml::BadValue => bail!("an alias without its anchor"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_itself_wins_over_what_is_merged() {
        let text = "base: &base {a: 1, b: [x, true]}\nmore:\n  a: two\n  <<: *base\n";
        let read = read(text).unwrap();
        assert_eq!(read["more"], serde_json::json!({ "a": "two", "b": ["x", true] }));
    }
}
