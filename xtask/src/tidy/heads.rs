//! Every Rust file begins by saying what it owns.
//! Never judges what it says.

use super::finding::Finding;
use super::house::House;

const RULE: &str = "heads";

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let silent = house
        .tree
        .sources
        .values()
        .filter(|source| !source.text.starts_with("//! "));
    let finding = |path: &String| Finding {
        path: path.clone(),
        line: 1,
        rule: RULE,
        wrong: "the first line does not say what the file owns".to_owned(),
        remedy: "begin with `//! …`, and say on the second line what it never does".to_owned(),
    };
    silent.map(|source| finding(&source.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_introduce_itself_is_found() {
        let house = House::of_files(&[
            ("a/src/lib.rs", "//! Owns a.\n"),
            ("a/src/b.rs", "use c;\n"),
            ("a/src/d.rs", ""),
        ]);
        let found: Vec<String> = check(&house).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["a/src/b.rs", "a/src/d.rs"]);
    }
}
