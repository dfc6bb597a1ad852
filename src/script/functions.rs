//! Libraries of functions.

use super::engine::{Engine, Failure, Handle, Host};
use super::exchange::Shared;
use super::flags::{ScriptFlags, of_library};
use super::{Named, folded};
use crate::base::hash::SeededMap;
use crate::command::error::Error;

/// The code of a library may run for this long while it is loaded, in µs.
const LOAD_LIMIT_US: i64 = 500_000;

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub handle: Handle,
    pub flags: ScriptFlags,
    pub description: Option<Vec<u8>>,
}

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    pub name: String,
    pub code: Vec<u8>,
    pub functions: Vec<Function>,
}

/// All libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    all: Named<Library>,
    /// Functions by their names in lower case.
    index: SeededMap<Vec<u8>, Function>,
}

impl Libraries {
    /// The function of that name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&Function> {
        if name.iter().any(u8::is_ascii_uppercase) {
            return self.index.get(&folded(name));
        }
        self.index.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Library> {
        self.all.values()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Functions of all libraries.
    pub fn functions(&self) -> usize {
        self.index.len()
    }

    /// Sources of all libraries, in the order of their names.
    pub fn sources(&self) -> Vec<Vec<u8>> {
        self.iter().map(|library| library.code.clone()).collect()
    }

    pub fn memory(&self) -> usize {
        self.iter()
            .map(|library| {
                size_of::<Library>()
                    + library.code.len()
                    + library.functions.len() * 2 * size_of::<Function>()
            })
            .sum()
    }

    /// Whether these can be added, with `replace` in the place of those of the same name.
    ///
    /// # Errors
    /// The first library or function that is there already.
    pub fn admits(&self, new: &[Library], replace: bool) -> Result<(), Error> {
        for library in new {
            if !replace && self.all.contains_key(&library.name) {
                return Err(Error::text(format!(
                    "ERR Library {} already exists",
                    library.name
                )));
            }
        }
        let goes = |name: &str| replace && new.iter().any(|library| library.name == name);
        let stay = self.iter().filter(|library| !goes(&library.name));
        let mut taken: Vec<Vec<u8>> = stay
            .flat_map(|library| &library.functions)
            .map(|function| folded(function.name.as_bytes()))
            .collect();
        for function in new.iter().flat_map(|library| &library.functions) {
            let name = folded(function.name.as_bytes());
            if taken.contains(&name) {
                return Err(Error::text(format!(
                    "ERR Function {} already exists",
                    function.name
                )));
            }
            taken.push(name);
        }
        Ok(())
    }

    /// Adds a library that is admitted; returns the one whose place it takes.
    pub fn add(&mut self, library: Library) -> Option<Library> {
        let old = self.remove(&library.name);
        for function in &library.functions {
            let name = folded(function.name.as_bytes());
            self.index.insert(name, function.clone());
        }
        self.all.insert(library.name.clone(), library);
        old
    }

    pub fn get(&self, name: &str) -> Option<&Library> {
        self.all.get(name)
    }

    /// Removes a library.
    pub fn remove(&mut self, name: &str) -> Option<Library> {
        let library = self.all.remove(name)?;
        for function in &library.functions {
            self.index.remove(&folded(function.name.as_bytes()));
        }
        Some(library)
    }

    pub fn clear(&mut self) {
        *self = Libraries::default();
    }
}

/// The time limit of a library's code.
struct Loader {
    begin: std::time::Instant,
}

impl Host for Loader {
    /// Not reachable from a library's code.
    fn call(&mut self, exchange: &Shared) {
        exchange.borrow_mut().reply = b"-ERR not while a library is loaded\r\n".to_vec();
    }

    fn check(&mut self, exchange: &Shared) {
        exchange.borrow_mut().permitted = None;
    }

    fn pause(&mut self, exchange: &Shared) {
        if self.begin.elapsed().as_micros() > LOAD_LIMIT_US as u128 {
            exchange.borrow_mut().kill = Some("FUNCTION LOAD timeout");
        }
    }
}

/// The name of the library in this code.
///
/// # Errors
/// What is wrong with its first line.
pub fn name_of(code: &[u8]) -> Result<String, Error> {
    of_library(code).map(|(name, _)| name)
}

/// Compiles and runs the code of a library.
///
/// # Errors
/// What is wrong with it.
pub fn create(engine: &mut Engine, code: &[u8], memory_limit: usize) -> Result<Library, Error> {
    let (name, rest) = of_library(code)?;
    let compiled = engine
        .compile(rest, "user_function")
        .map_err(|message| Error::text(format!("ERR Error compiling function: {message}")))?;
    {
        let mut exchange = engine.exchange.borrow_mut();
        exchange.memory_limit = memory_limit;
        exchange.loading = Some(Vec::new());
    }
    let mut loader = Loader {
        begin: std::time::Instant::now(),
    };
    let outcome = engine.run_library(compiled, &mut loader);
    let registered = engine.exchange.borrow_mut().loading.take();
    engine.drop_kept(compiled);
    if let Err(Failure { text, .. }) = outcome {
        return Err(Error::bytes(
            [b"ERR Error registering functions: ", text.as_slice()].concat(),
        ));
    }
    let mut functions = Vec::new();
    for registration in registered.unwrap_or_default() {
        let handle = engine
            .keep(registration.callback)
            .map_err(|error| Error::text(format!("ERR {error}")))?;
        functions.push(Function {
            name: registration.name,
            handle,
            flags: registration.flags,
            description: registration.description,
        });
    }
    if functions.is_empty() {
        return Err(Error::new("ERR No functions registered"));
    }
    Ok(Library {
        name,
        code: code.to_vec(),
        functions,
    })
}

/// Forgets what the interpreter keeps for a library.
pub fn forget(engine: &Engine, library: &Library) {
    for function in &library.functions {
        engine.drop_kept(function.handle);
    }
}
