"""Network models after the Common Information Model (IEC 61970): RDF/XML in, `grid.circuit` out."""
