//! The paths that a file names: leaves of its `use` trees, and `a::b::c` in its code.
//! Never resolves them: `modules` knows which file a path leads to.

use std::collections::BTreeSet;

use super::lexer::{Token, after_group};

/// One path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Without a leading `::`; a `self` at the end of a `use` tree is left out.
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// The inline modules around it, from the outside.
    pub(crate) within: Vec<String>,
    pub(crate) by: By,
    /// A `pub use` of any reach: others may import it from here.
    pub(crate) handed_on: bool,
}

/// How a path is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// `use`, as this name.
    Import { name: String },
    /// `use …::*`.
    Glob,
    /// Anywhere else; at least two segments.
    Code,
}

/// A `mod name;`: what it declares lives in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) within: Vec<String>,
}

/// What a file says about other files.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) named: Vec<Named>,
    pub(crate) declared: Vec<Declared>,
    /// The words of its code, imports and attributes left out.
    pub(crate) words: BTreeSet<String>,
    /// The file has nothing but declarations and imports: a parent, as the house wants it.
    pub(crate) only_declares: bool,
}

pub(crate) fn said(tokens: &[Token]) -> Said {
    let mut reader = Reader {
        said: Said {
            only_declares: true,
            ..Said::default()
        },
        public: false,
        open: Vec::new(),
    };
    let mut rest = tokens;
    while !rest.is_empty() {
        rest = reader.read(rest);
    }
    reader.said
}

struct Reader {
    said: Said,
    /// What is read next follows a `pub`.
    public: bool,
    /// Open braces; those of an inline module carry its name.
    open: Vec<Option<String>>,
}

impl Reader {
    /// Reads one construct, and returns what follows it.
    fn read<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        let public = std::mem::take(&mut self.public);
        match tokens {
            [word, rest @ ..] if word.is_word("use") && !starts_capture(rest) => {
                let mut prefix = Vec::new();
                self.public = public;
                let after = self.use_tree(rest, &mut prefix, word.line);
                self.public = false;
                return skip_past(after, ';');
            }
            [word, name, mark, rest @ ..] if word.is_word("mod") && mark.is_mark(';') => {
                let name = name.word().unwrap_or_default().to_owned();
                let within = self.within();
                self.said.declared.push(Declared { name, within });
                return rest;
            }
            [word, name, mark, rest @ ..] if word.is_word("mod") && mark.is_mark('{') => {
                self.said.only_declares = false;
                self.open.push(name.word().map(str::to_owned));
                return rest;
            }
            // Attributes, inner ones too: nothing in them is a path to follow.
            [hash, rest @ ..] if hash.is_mark('#') => {
                return match rest {
                    [mark, inner @ ..] if mark.is_mark('!') => after_group(inner),
                    _ => after_group(rest),
                };
            }
            [word, paren, ..] if word.is_word("pub") && paren.is_mark('(') => {
                self.public = true;
                return after_group(tokens.get(1..).unwrap_or_default());
            }
            [word, rest @ ..] if word.is_word("pub") => {
                self.public = true;
                return rest;
            }
            _ => {}
        }
        self.said.only_declares = false;
        self.code(tokens)
    }

    fn code<'a>(&mut self, tokens: &'a [Token]) -> &'a [Token] {
        let [token, rest @ ..] = tokens else { return &[] };
        if token.is_mark('{') {
            self.open.push(None);
        } else if token.is_mark('}') {
            self.open.pop();
        }
        let Some(first) = token.word() else {
            // `::name` after something, as in `<T as Trait>::name`, begins no path.
            return match tokens {
                [a, b, name, after @ ..] if a.is_mark(':') && b.is_mark(':') && name.word().is_some() => {
                    after
                }
                _ => rest,
            };
        };
        self.said.words.insert(first.to_owned());
        let mut segments = vec![first.to_owned()];
        let mut rest = rest;
        while let [a, b, next, after @ ..] = rest {
            let (true, true, Some(next)) = (a.is_mark(':'), b.is_mark(':'), next.word()) else {
                break;
            };
            segments.push(next.to_owned());
            rest = after;
        }
        if segments.len() > 1 {
            let within = self.within();
            self.said.named.push(Named {
                segments,
                line: token.line,
                within,
                by: By::Code,
                handed_on: false,
            });
        }
        rest
    }

    /// Reads one `use` tree below `prefix`, and returns what follows it.
    fn use_tree<'a>(&mut self, tokens: &'a [Token], prefix: &mut Vec<String>, line: usize) -> &'a [Token] {
        let depth = prefix.len();
        let mut rest = tokens;
        let mut line = line;
        loop {
            match rest {
                [a, b, after @ ..] if a.is_mark(':') && b.is_mark(':') => rest = after,
                [star, after @ ..] if star.is_mark('*') => {
                    self.leaf(prefix, line, By::Glob);
                    rest = after;
                    break;
                }
                [brace, inner @ ..] if brace.is_mark('{') => {
                    rest = self.use_group(inner, prefix, line);
                    break;
                }
                [word, after @ ..] if word.is_word("as") => {
                    let name = after.first().and_then(Token::word).unwrap_or("_").to_owned();
                    self.leaf(prefix, line, By::Import { name });
                    rest = after.get(1..).unwrap_or_default();
                    break;
                }
                [token, after @ ..] if token.word().is_some() => {
                    prefix.extend(token.word().map(str::to_owned));
                    line = token.line;
                    rest = after;
                }
                _ => {
                    let name = prefix
                        .iter()
                        .rev()
                        .find(|segment| *segment != "self")
                        .cloned()
                        .unwrap_or_default();
                    self.leaf(prefix, line, By::Import { name });
                    break;
                }
            }
        }
        prefix.truncate(depth);
        rest
    }

    /// After the opening brace of a group.
    fn use_group<'a>(&mut self, tokens: &'a [Token], prefix: &mut Vec<String>, line: usize) -> &'a [Token] {
        let mut rest = tokens;
        loop {
            match rest {
                [token, after @ ..] if token.is_mark('}') => return after,
                [token, after @ ..] if token.is_mark(',') => rest = after,
                [] => return &[],
                _ => {
                    let after = self.use_tree(rest, prefix, line);
                    // A tree that reads nothing would be read for ever.
                    rest = if after.len() < rest.len() {
                        after
                    } else {
                        rest.get(1..).unwrap_or_default()
                    };
                }
            }
        }
    }

    fn leaf(&mut self, prefix: &[String], line: usize, by: By) {
        let mut segments = prefix.to_vec();
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let within = self.within();
        self.said.named.push(Named {
            segments,
            line,
            within,
            by,
            handed_on: self.public,
        });
    }

    fn within(&self) -> Vec<String> {
        self.open.iter().flatten().cloned().collect()
    }
}

/// `use<'a, T>` in a type names no path.
fn starts_capture(after_use: &[Token]) -> bool {
    after_use.first().is_some_and(|token| token.is_mark('<'))
}

fn skip_past(tokens: &[Token], mark: char) -> &[Token] {
    let at = tokens.iter().position(|token| token.is_mark(mark));
    at.and_then(|at| tokens.get(at + 1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |named: &Named| {
            let how = match &named.by {
                By::Import { name } => format!(" as {name}"),
                By::Glob => "::*".to_owned(),
                By::Code => String::new(),
            };
            let within: String = named.within.iter().map(|name| format!("[{name}]")).collect();
            format!("{}{within}{}{how}", named.line, named.segments.join("::"))
        };
        said(&tokens(text)).named.iter().map(show).collect()
    }

    #[test]
    fn use_trees_are_read_to_their_leaves() {
        let text = "use crate::{a, b::{self, C as D},\n e::*};\npub(crate) use super::f::G;\nuse h;";
        let expected = [
            "1crate::a as a",
            "1crate::b as b",
            "1crate::b::C as D",
            "2crate::e::*",
            "3super::f::G as G",
            "4h as h",
        ];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn paths_in_code_are_found_also_within_inline_modules() {
        let text = "fn a() { b::c(); <T as D>::e(); f.g(); }\nmod h { fn i() -> super::J { k } }\nfn l() { m::N::<o::P> }";
        assert_eq!(shown(text), ["1b::c", "2[h]super::J", "3m::N", "3o::P"]);
    }

    #[test]
    fn a_parent_that_only_declares_is_known() {
        assert!(
            said(&tokens(
                "//! Doc.\n#![warn(x)]\npub mod a;\nmod b;\npub use a::{B, C};"
            ))
            .only_declares
        );
        assert!(!said(&tokens("mod a;\npub struct B;")).only_declares);
    }

    #[test]
    fn what_is_handed_on_is_told_from_what_is_used() {
        let said = said(&tokens("pub(crate) use a::{B, C};\nuse d::E;\npub struct F(C);"));
        let handed_on: Vec<bool> = said.named.iter().map(|named| named.handed_on).collect();
        assert_eq!(handed_on, [true, true, false]);
        assert!(said.words.contains("C") && !said.words.contains("B"));
    }

    #[test]
    fn captures_in_types_are_no_imports() {
        assert_eq!(shown("fn a() -> impl B + use<'_, C> { d::e }"), ["1d::e"]);
    }
}
