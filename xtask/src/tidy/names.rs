//! No file or directory has a name that fits anything.
//! Never judges a name beyond that.

use super::finding::Finding;
use super::house::House;

const RULE: &str = "names";
const BANNED: [&str; 10] = [
    "util", "utils", "helper", "helpers", "common", "misc", "types", "manager", "managers", "mod",
];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let named_so = |path: &&String| {
        path.trim_end_matches(".rs")
            .split('/')
            .any(|part| BANNED.contains(&part))
    };
    let finding = |path: &String| {
        let is_mod = path.ends_with("/mod.rs");
        Finding {
            path: path.clone(),
            line: 1,
            rule: RULE,
            wrong: "the name says nothing about what is inside".to_owned(),
            remedy: if is_mod {
                "name it `foo.rs` beside `foo/`"
            } else {
                "find the noun that it is about"
            }
            .to_owned(),
        }
    };
    house.tree.sources.keys().filter(named_so).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_noun_are_found() {
        let paths = [
            "a/src/util.rs",
            "a/src/b/mod.rs",
            "a/src/common/c.rs",
            "a/src/utilization.rs",
            "a/src/typed.rs",
        ];
        let house = House::of_files(&paths.map(|path| (path, "")));
        let found: Vec<String> = check(&house).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["a/src/b/mod.rs", "a/src/common/c.rs", "a/src/util.rs"]);
    }
}
