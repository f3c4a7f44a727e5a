import { render } from 'preact'
import './style.css'

render(<main><h1>Holdfast</h1><p>The dashboard is on its way.</p></main>, document.getElementById('app')!)
