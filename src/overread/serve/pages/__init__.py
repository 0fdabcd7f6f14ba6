"""The pages: HTML, a style sheet, small ES modules, and their words in two languages."""
