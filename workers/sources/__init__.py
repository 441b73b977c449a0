"""Where weights come from: `resolution` makes a local folder of a source string, in processes that may load torch."""
