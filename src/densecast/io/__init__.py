"""Files: written whole or not at all, read with bounds; what is kept between runs; other tools' formats."""
