"""Pages for people: rendered on the server, readable without JavaScript, live with it.

A page is a `Page`: a path, a template and a function that loads what the template shows. Its template extends
`base.html` and fills the block `live`; a browser that asks the same address for an event stream gets that block again
whenever what it shows has changed. Templates lie in `templates/`, our style sheet and script in `static/`.
"""
