//! Owns the journal that the sample activities write: every execution of one leaves a line, and lines can be counted.
//! Never writes one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longhaul_examples::contracts::JournalRequest;

/// A journal file.
pub(crate) struct Journal(PathBuf);

/// What an execution was for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Execution {
    pub(crate) instance: String,
    pub(crate) line: u64,
    pub(crate) task: u32,
}

impl Journal {
    /// The journal at this path, which need not be there yet.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The request to write so many lines into it at once.
    pub(crate) fn request(&self, lines: u64) -> JournalRequest {
        JournalRequest {
            file: self.0.display().to_string(),
            lines,
            each_ms: 0,
            failures: 0,
        }
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        std::fs::read(&self.0).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    /// How often each task of each line was executed. A last line without its end is one that a kill cut off.
    pub(crate) fn executions(&self) -> BTreeMap<Execution, usize> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let mut words = line.rsplit(' ');
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let (task, line) = (u32::try_from(number()).unwrap(), number());
            let instance = words.next().unwrap().to_owned();
            *counts.entry(Execution { instance, line, task }).or_default() += 1;
        }
        counts
    }

    /// Checks that an instance has written all its lines, each by one task that ran at most so often.
    pub(crate) fn check(&self, instance: &str, lines: u64, executions_max: usize) {
        let executions = self.executions();
        for line in 1..=lines {
            let of_line: Vec<_> = executions
                .iter()
                .filter(|(execution, _)| execution.instance == instance && execution.line == line)
                .collect();
            assert_eq!(of_line.len(), 1, "{instance}, line {line}: {of_line:?}");
            assert!(
                of_line.iter().all(|(_, count)| **count <= executions_max),
                "more than {executions_max} executions: {of_line:?}"
            );
        }
    }
}
