"""The page that a gateway serves at `/ui`: plain files, and the headers that they are sent with."""
