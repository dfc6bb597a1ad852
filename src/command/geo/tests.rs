//! Commands of points in process.
