//! Which kernel modules a guest needs, and in which order: each module says itself what it needs
//! (`depends=` in its file), so that no index has to be made.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Modules of a chain that needs itself would go on for ever; no chain is that long.
const DEPTH_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("looking for kernel modules in {}: {cause}", folder.display())]
    Folder { folder: PathBuf, cause: io::Error },
    #[error("reading the kernel module {}: {cause}", file.display())]
    Read { file: PathBuf, cause: io::Error },
    #[error("modules need each other without end: {0}")]
    Endless(String),
}

/// The files of a kernel's modules by name.
#[derive(Debug)]
pub struct Modules {
    files: HashMap<String, PathBuf>,
}

impl Modules {
    /// All that lie somewhere below.
    pub fn below(folder: &Path) -> Result<Self, ModuleError> {
        let mut files = HashMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let failed = |cause| ModuleError::Folder { folder: folder.clone(), cause };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
                    && let Some(name) = name.strip_suffix(".ko")
                {
                    files.insert(name.replace('-', "_"), path);
                }
            }
        }
        Ok(Self { files })
    }

    /// The files to load, one after the other. What is not there as a file is taken to be built
    /// into the kernel.
    pub fn in_order(&self, names: &[&str]) -> Result<Vec<PathBuf>, ModuleError> {
        let mut order = Vec::new();
        for name in names {
            self.add(name, 0, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, depth: usize, order: &mut Vec<PathBuf>) -> Result<(), ModuleError> {
        if depth > DEPTH_MAX {
            return Err(ModuleError::Endless(name.to_owned()));
        }
        let Some(file) = self.files.get(&name.replace('-', "_")) else { return Ok(()) };
        if order.contains(file) {
            return Ok(());
        }
        let read = |cause| ModuleError::Read { file: file.clone(), cause };
        for needed in depends(&fs::read(file).map_err(read)?) {
            self.add(&needed, depth + 1, order)?;
        }
        order.push(file.clone());
        Ok(())
    }
}

/// What a module says that it needs: `depends=usbcore,scsi_mod`, ended by NUL.
fn depends(module: &[u8]) -> Vec<String> {
    const WORD: &[u8] = b"\0depends=";
    let at = module.windows(WORD.len()).position(|part| part == WORD);
    let list = at.and_then(|at| module.get(at + WORD.len()..)).unwrap_or_default();
    let end = list.iter().position(|byte| *byte == 0).unwrap_or(0);
    let list = String::from_utf8_lossy(list.get(..end).unwrap_or_default()).into_owned();
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        assert_eq!(
            depends(b"x\0license=GPL\0depends=usbcore,scsi_mod\0y"),
            ["usbcore", "scsi_mod"]
        );
        assert!(depends(b"\0depends=\0name=crc16").is_empty());
        assert!(depends(b"").is_empty());
    }
}
