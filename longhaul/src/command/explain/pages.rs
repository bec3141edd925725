//! Owns the page of every error code, as it stands in `docs/errors/`.
//! Never a text of its own.

use longhaul_shared::code::{self, Code};

macro_rules! pages {
    ($($number:literal)*) => {
        &[$((
            concat!("LH", $number),
            include_str!(concat!("../../../../docs/errors/LH", $number, ".md")),
        )),*]
    };
}

/// Every code with its page. A test holds this list, the codes and the directory together.
pub(crate) const PAGES: &[(&str, &str)] = pages! {
    1001 1002 1003 1004 1005
    1100 1101 1102 1103 1104 1105 1106 1107 1108 1109 1110
    1201 1202 1203
    1301 1302 1303 1304
    1401 1402 1403 1404
    1501 1502 1503 1504 1505
    1601 1602 1603
};

/// The page of a code.
pub(super) fn page(code: Code) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(name, _)| code::find(name) == Some(code))
        .map(|(_, page)| page.trim_end())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const INDEX: &str = include_str!("../../../../docs/errors/README.md");
    const HEADS: [&str; 4] = [
        "## What happened\n",
        "## Why\n",
        "## What to do\n",
        "## Example\n",
    ];

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let codes: Vec<String> = code::ALL.iter().map(ToString::to_string).collect();
        let pages: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        assert_eq!(pages, codes);
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let files = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let expected = codes.iter().map(|code| format!("{code}.md"));
        let expected: BTreeSet<String> = expected.chain(["README.md".to_owned()]).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn a_page_says_what_its_code_says() {
        for code in code::ALL {
            let page = page(*code).unwrap();
            assert!(
                page.starts_with(&format!("# {code}: {}\n", code.title())),
                "{code}"
            );
            let places = HEADS.map(|head| page.find(head).unwrap_or_else(|| panic!("{code}: {head}")));
            assert!(places.is_sorted(), "{code}: {places:?}");
            let todo = format!("## What to do\n\n{}\n", code.fix());
            assert!(page.contains(&todo), "{code} does not begin with: {todo}");
            let (_, example) = page.split_once(HEADS[3]).unwrap();
            assert!(example.contains(&code.to_string()), "{code}: {example}");
        }
    }

    #[test]
    fn the_index_lists_every_page() {
        let lines = code::ALL
            .iter()
            .map(|code| format!("- [{code}]({code}.md): {}", code.title()));
        let listed: Vec<&str> = INDEX.lines().filter(|line| line.starts_with("- ")).collect();
        assert_eq!(listed, lines.collect::<Vec<_>>());
    }
}
