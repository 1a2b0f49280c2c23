"""Taking back what dead runs left: `hand` how, `drivers` with whom, `leftovers` by command and before each run.

`halting` ends every run now, `residue` asks the target itself what is left, `unhealed` is the note that every command
gives while something is. Nothing is imported here: that note must cost next to nothing.
"""
