"""Small camera cards with drawn pictures, for `ghostroll demo`, for tests and for benchmarks."""
